"""python -m launcher, and the console script launcher: a verb, or a launch."""

import gc
import os
import select
import sys
from pathlib import Path

from launcher.cli.run import refuse, run
from launcher.errors import DISK_FULL, Exit, LauncherError


def main(arguments: list[str]) -> int:
    """The exit code. A refusal is one line on stderr."""
    gc.set_threshold(
        50_000, 20, 20
    )  # composing makes many objects that all stay: looking at them is a tenth of a launch
    try:
        code = run(arguments)
        if sys.stdout:  # None where the caller closed it, as `>&-` does
            sys.stdout.flush()
        return code
    except LauncherError as error:
        return refuse(error, arguments)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        if not _reader_left():
            raise
        # the flush at exit needs a place to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        target = error.filename or "the output"
        print(f"launcher: {target} cannot be written: {error.strerror}; free some space", file=sys.stderr)
        if error.filename is None and sys.stdout:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.REFUSED


def script() -> int:
    """As main, for the console script: like `python -m`, it imports a user's plugins from the working directory."""
    sys.path.insert(0, str(Path.cwd()))
    return run_once()


def run_once() -> int:
    """As main, for a process that ends next: the collections at its end, a tenth of a launch, then find nothing to look at."""
    code = main(sys.argv[1:])
    gc.freeze()
    return code


def _reader_left() -> bool:
    """Whether nobody reads stdout any more, as after `| head`; another pipe may have broken."""
    stdout = select.poll()
    stdout.register(sys.stdout, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in stdout.poll(0))


if __name__ == "__main__":
    sys.exit(run_once())
