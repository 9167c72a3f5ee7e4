"""python -m launcher: a verb, or a launch."""

import importlib
import os
import select
import sys

from launcher.errors import Exit, LauncherError, UsageError, unknown

VERBS = (
    "plan", "rehearse", "fetch", "status", "list", "logs", "follow", "cancel", "resume", "checkpoints", "data", "calibrate",
    "export", "chat", "evaluate", "sync", "managed", "stale", "rules", "sweep", "report",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """The exit code. A refusal is one line on stderr."""
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    try:
        if arguments and arguments[0].isalpha() and not verb:
            raise UsageError(f"{unknown('verb', arguments[0], VERBS)} A run starts with +experiment=NAME.")
        module = importlib.import_module(f"launcher.commands.{verb or 'launch'}")
        code = module.main(arguments[1:] if verb else arguments)
        sys.stdout.flush()
        return code
    except LauncherError as error:
        print(f"launcher: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        if not _reader_left():
            raise
        # the flush at exit needs a place to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED


def _reader_left() -> bool:
    """Whether nobody reads stdout any more, as after `| head`; another pipe may have broken."""
    stdout = select.poll()
    stdout.register(sys.stdout, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in stdout.poll(0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
