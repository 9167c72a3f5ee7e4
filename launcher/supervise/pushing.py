"""The push of a finished run's result to a model hub, by the verb push in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping

from launcher.output import say
from launcher.processes import death_with_parent
from launcher.run import RunDir
from launcher.run.events import launching as noted
from launcher.supervise.children import StopSignal

_POLL_S = 0.2


def push(run: RunDir, repository: str, environ: Mapping[str, str], stopped: StopSignal, attempt: int) -> None:
    """Pushes the result; a failure is an event, since the run itself is finished."""
    log = run.logs / "push.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher", "push", str(run.path)],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=death_with_parent(),
        )
        reason = _wait(process, stopped)
    if process.returncode == 0:
        return
    lines = log.read_text(errors="replace").strip().splitlines()
    reason = reason or (lines[-1].removeprefix("launcher: ") if lines else f"exit code {process.returncode}")
    run.note(noted.NotPushed(attempt=attempt, repository=repository, reason=reason))
    say(f"not pushed to {repository}: {reason}")


def _wait(process: "subprocess.Popen[bytes]", stopped: StopSignal) -> str:
    """Why the process was ended early; empty if it ended by itself."""
    while True:
        try:
            process.wait(_POLL_S)
            return ""
        except subprocess.TimeoutExpired:
            if stopped.signal:
                process.kill()
                process.wait()
                return "the job was ended before the push was done"
