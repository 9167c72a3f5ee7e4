"""python -m launcher, and the console script launcher: a verb, or a launch.

Everything is imported inside functions, so that Ctrl-C during an import also ends the command without a traceback.
"""

import contextlib
import gc
import sys
from collections.abc import Callable

_INTERRUPTED = 130
"""The exit code Exit.INTERRUPTED of launcher.errors, which may not be imported yet."""


def main(arguments: list[str]) -> int:
    """The exit code. A refusal is one line on stderr."""
    # composing makes about 100,000 objects that stay alive; garbage collections of them would take a tenth of a launch
    gc.set_threshold(200_000, 20, 20)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _interrupted()
    except ModuleNotFoundError as error:
        return _without(error, arguments)
    except Exception as error:
        if not _by_interrupt(error):
            raise
        return _interrupted()


def _run(arguments: list[str]) -> int:
    from launcher.cli.run import refuse, run
    from launcher.errors import LauncherError

    _repair_environment()
    try:
        code = _until_exit(run, arguments)
        sys.stdout.flush()  # a failure here becomes one line; at the interpreter's exit it would be a traceback
        return code
    except LauncherError as error:
        if _by_interrupt(error):
            raise
        return refuse(error, arguments)
    except BrokenPipeError:
        return _pipe_closed()
    except OSError as error:
        return _refuse_file(error, arguments)
    except MemoryError:
        from launcher.errors import RunError

        said = "this machine does not have enough memory for this command; use a machine with more"
        return refuse(RunError(said), arguments)


def _until_exit(run: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The exit code, also of --help, after which argparse ends the process."""
    try:
        return run(arguments)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        return end.code or 0


def script() -> int:
    """As main, for the console script: like `python -m`, it imports a user's plugins from the working directory."""
    try:
        from pathlib import Path

        sys.path.insert(0, str(Path.cwd()))
    except KeyboardInterrupt:
        return _interrupted()
    except FileNotFoundError:
        print(
            "launcher: the current folder no longer exists; cd to another one",
            file=sys.stderr,
        )
        return 1
    return run_once()


def run_once() -> int:
    """Runs main and ends the process, without the garbage collections at the end, which take a tenth of a launch."""
    if sys.getfilesystemencoding() != "utf-8":
        from launcher.processes import start_in_utf8

        start_in_utf8()
    code = main(sys.argv[1:])
    gc.freeze()
    _end(code)
    return code


def _end(code: int) -> None:
    """Ignores Ctrl-C from now on, so that it causes no traceback while the interpreter ends: the command is done.

    After a Ctrl-C the process ends here. If Ctrl-C came inside exec(), which dataclasses and namedtuple use, CPython would kill
    itself instead of returning the exit code (pythonrun.c, unhandled_keyboard_interrupt), although the exception was handled.
    """
    import os
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == _INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code)


def _by_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused this error, for example because a library failed to clean up after it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _interrupted() -> int:
    print("launcher: ended by Ctrl-C", file=sys.stderr)
    return _INTERRUPTED


def _without(error: ModuleNotFoundError, arguments: list[str]) -> int:
    """Refuses a command whose package is not installed; raises the error again if the module is not part of such a package."""
    from launcher.cli.run import refuse
    from launcher.errors import PackageError
    from launcher.packages import install_line

    line = install_line(error.name or "")
    if line is None:
        raise error
    return refuse(PackageError(f"the Python package {error.name} is not installed here; {line}"), arguments)


def _pipe_closed() -> int:
    """The exit code if the reader of stdout has closed the pipe, as `| head` does; raises the error again for another pipe."""
    import os
    import select

    from launcher.errors import Exit

    stdout = select.poll()
    stdout.register(sys.stdout, select.POLLOUT)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in stdout.poll(0)):
        raise
    # so that the flush at exit does not fail
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.PIPE_CLOSED


def _refuse_file(error: OSError, arguments: list[str]) -> int:
    """Refuses a command that cannot read or write a file, and names the file; raises any other error again."""
    import errno
    import os

    from launcher.cli.run import refuse
    from launcher.errors import DISK_FULL, Exit, RunError

    full = error.errno in DISK_FULL
    if error.filename is None and error.errno in (errno.EIO, errno.ESTALE):
        said = f"a file system does not answer ({error.strerror}); type the command again when it does"
        return refuse(RunError(said), arguments)
    if error.filename is None and not full:
        if not _has_working_directory():
            return refuse(RunError("the current folder no longer exists; cd to another one"), arguments)
        raise error
    if not full:
        return refuse(
            RunError(
                f"{error.filename} cannot be used: {error.strerror}; name another file, or change its permissions"
            ),
            arguments,
        )
    from launcher.output import say

    say(f"{error.filename or 'the output'} cannot be written: {error.strerror}; free some space")
    if error.filename is None and sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.REFUSED


def _repair_environment() -> None:
    """Opens closed standard streams, sets the encoding of stdout and a missing HOME, and protects the hub's token."""
    import os

    for name in ("stdin", "stdout", "stderr"):
        # a stream was closed, as by `>&-`: the next opened file would get its number, and children would write into it
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))
    _show_every_character()
    if not os.environ.get(
        "XDG_CACHE_HOME"
    ):  # an empty one counts as not set: XDG Base Directory Specification
        os.environ.pop("XDG_CACHE_HOME", None)
    if not os.environ.get("HOME"):
        from pwd import getpwuid

        os.environ.pop("HOME", None)
        with contextlib.suppress(KeyError):  # a user without an entry, as in a container
            os.environ["HOME"] = getpwuid(os.getuid()).pw_dir
    if "HF_ENDPOINT" in os.environ:
        from launcher.hub import hides_token

        os.environ.update(hides_token(os.environ))


def _show_every_character() -> None:
    """Makes stdout write the characters that the terminal's encoding lacks as escapes."""
    from io import TextIOWrapper

    out = sys.stdout
    if isinstance(out, TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
        if sys.flags.utf8_mode and out.isatty():
            import locale

            known = locale.nl_langinfo(locale.CODESET)  # the terminal's encoding; files are in UTF-8
            if known not in ("UTF-8", "ANSI_X3.4-1968"):
                out.reconfigure(encoding=known)


def _has_working_directory() -> bool:
    """Whether the working directory exists."""
    from pathlib import Path

    try:
        Path.cwd()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(run_once())
