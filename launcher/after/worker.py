"""A process with the training stack that does the work of a verb, so that the command itself never imports the stack."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import IO, TypeVar

from launcher.errors import Exit, LauncherError, RunError
from launcher.hub import hides_token
from launcher.output import make_console
from launcher.packages import TRAINING_STACK
from launcher.processes import death_with_parent
from launcher.protocol.codec import Message, ProtocolError
from launcher.protocol.lines import read_lines, write_line
from launcher.protocol.work.requests import WorkRequest
from launcher.protocol.work.results import REPLIES, WorkError, WorkProgress

M = TypeVar("M", bound=Message)
Show = Callable[[WorkProgress], None]
"""Shows what the process does now."""

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
}
_SHOWN = 15


class WorkFailed(LauncherError):
    """The error that the process reported before it ended."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = Exit(code)


class ModelProcess:
    """The process, its requests and its replies."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process, self._log = process, log

    def send(self, message: Message) -> None:
        """Sends it the request, or what follows it."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the process has ended: its last reply says why
            write_line(self._process.stdin, message)

    def no_more(self) -> None:
        """Tells it that no further request follows."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> None:
        """Kills the process."""
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """Tells the process to end its answer."""
        self._process.send_signal(signal.SIGINT)

    def replies(self) -> Iterator[Message]:
        """Its replies, one by one; WorkFailed with its own message if it fails, or if it says something unknown."""
        assert self._process.stdout
        try:
            for reply in read_lines(self._process.stdout, REPLIES):
                if isinstance(reply, WorkError):
                    raise WorkFailed(reply.message, reply.exit_code)
                yield reply
        except ProtocolError as error:
            raise WorkFailed(
                f"the worker process sent {error}; does its Python have another version of launcher?",
                Exit.FAILED,
            ) from None
        code = self._process.wait()
        if code:
            killed = " (SIGKILL: out of memory, or killed from outside)" if code == -signal.SIGKILL else ""
            raise WorkFailed(f"the worker process ended with {code}{killed}{self._last_words()}", Exit.FAILED)

    def result(self, kind: type[M], show: Show) -> M:
        """Its result, of the kind that the request has; `show` is called with each progress."""
        for reply in self.replies():
            if isinstance(reply, kind):
                return reply
            if isinstance(reply, WorkProgress):
                show(reply)
        raise WorkFailed(f"the worker process ended without a result{self._last_words()}", Exit.FAILED)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [
            line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()
        ]
        return f": {' | '.join(lines[-_SHOWN:])}" if lines else ""


@contextlib.contextmanager
def worker(
    request: WorkRequest, python: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Generator[ModelProcess]:
    """The process that works on the request; it is killed at the end of the block. RunError without the training stack.

    `python`: the command of another Python than this one; `environ`: variables in addition to those of this process.
    """
    if not python and not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        raise RunError(
            f"{request.verb} loads a model and needs the training stack, which {sys.executable} does not have; "
            f"{TRAINING_STACK}, or run the command with the Python that the run used"
        )
    given = {**os.environ, **(environ or {})}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*(python or [sys.executable]), "-m", "launcher.train.after"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**given, **hides_token(given), **_QUIET},
            start_new_session=True,  # Ctrl-C must reach only the command
            preexec_fn=death_with_parent(),
        )
        one = ModelProcess(process, log)
        one.send(request)
        try:
            yield one
        finally:
            one.end()


@contextlib.contextmanager
def showing() -> Generator[Show]:
    """A function that shows progress: on a terminal, as a transient line on stderr."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    with make_console(stderr=True).status("starting") as status:
        yield lambda progress: status.update(_words(progress))


def _words(progress: WorkProgress) -> str:
    if progress.done is None or progress.total is None:
        return progress.what
    return f"{progress.what} {progress.done:,} of {progress.total:,}"
