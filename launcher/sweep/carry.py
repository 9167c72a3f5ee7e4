"""One trial's job script as a child of its worker, which passes signals on to it and prunes it if the study says so."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping

from launcher.processes import death_with_parent, exit_code
from launcher.run import RunDir
from launcher.supervise.children import StopSignal
from launcher.sweep.outcome import Reports

_POLL_S = 0.1
_LOOK_S = 0.5
"""Seconds between two reads of the trial's reports."""


def carry(
    run: RunDir,
    objective: str,
    stopped: StopSignal,
    has_ended: Callable[[], bool],
    should_prune: Callable[[Mapping[int, float]], bool] | None,
) -> int:
    """The exit code of the job script, which becomes the trial's supervisor.

    The script gets the worker's signals, SIGTERM once the sweep `has_ended`, and SIGUSR2 once `should_prune` is true.
    `should_prune` gets the values of the objective by step, and is called again whenever there are more.
    """
    child = _start(run)
    reported, steps = Reports(run, objective), -1
    passed, looked = 0, 0.0
    while child.poll() is None:
        wanted = int(stopped.signal is not None or has_ended()) + int(stopped.again)
        if wanted > passed:
            passed = wanted
            child.send_signal(stopped.signal or signal.SIGTERM)
        if should_prune and time.monotonic() - looked > _LOOK_S:
            looked = time.monotonic()
            found = reported.read()
            if len(found) != steps:
                steps = len(found)
                if should_prune(found):
                    child.send_signal(signal.SIGUSR2)
                    should_prune = None
        time.sleep(_POLL_S)
    return exit_code(child.returncode)


def _start(run: RunDir) -> "subprocess.Popen[bytes]":
    run.logs.mkdir(exist_ok=True)
    with (run.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            ["bash", str(run.job_script)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )
