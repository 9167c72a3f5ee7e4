"""Calls of verbs in this process: what they print, how they end, and whether they end at all."""

import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.__main__ import main

LIMIT_S = 60
"""Seconds after which a call counts as one that hangs."""


class Hangs(BaseException):
    """A call did not end."""


@dataclass(frozen=True, kw_only=True)
class Called:
    """How a call of a verb ended."""

    code: int | None
    """None for a traceback or a hang."""
    out: str
    err: str
    fault: str
    """The kind and the place of the exception that a person would see; empty for none."""


def call(arguments: Sequence[str], limit_s: int = LIMIT_S) -> Called:
    """Calls a verb, without a terminal and with an empty standard input."""
    out, err = io.StringIO(), io.StringIO()
    stdin, sys.stdin = sys.stdin, io.StringIO("")
    folder, path = Path.cwd(), list(sys.path)
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(limit_s)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code, fault = main(list(arguments)), ""
    except SystemExit as error:
        code, fault = int(error.code or 0), ""
    except (Exception, Hangs) as error:
        code, fault = None, where(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        sys.stdin = stdin
        sys.path[:] = path
        os.chdir(folder)  # a resume goes to the folder of the launch
    return Called(code=code, out=out.getvalue(), err=err.getvalue(), fault=fault)


def where(error: BaseException) -> str:
    """The exception and the last line of this project that raised it."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "/launcher/" in one.filename]
    at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} at {at}: {str(error)[:100]}"


def _hangs(number: int, frame: object) -> None:
    del number, frame
    raise Hangs("did not end")


@contextlib.contextmanager
def programs(folder: Path) -> Iterator[Path]:
    """PATH is a folder of Slurm's commands, each of which writes its arguments to the file that this yields."""
    folder.mkdir()
    said = folder / "called"
    said.touch()
    for name in ("scancel", "squeue", "sacct", "scontrol", "sbatch", "sinfo", "srun"):
        program = folder / name
        answer = "echo 99" if name == "sbatch" else ":"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> {said}\n{answer}\n')
        program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield said
    finally:
        os.environ["PATH"] = before
