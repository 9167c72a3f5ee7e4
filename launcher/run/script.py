"""Starts the job script of a run on this machine."""

import subprocess
from collections.abc import Callable

from launcher.run.dir import RunDir


def start_script(run: RunDir, before_exec: Callable[[], None] | None = None) -> "subprocess.Popen[bytes]":
    """The job script as a child process in its own session, which outlives a closed terminal; its output is in supervisor.log.

    `before_exec` is called in the child.
    """
    run.logs.mkdir(exist_ok=True)
    with (run.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            ["bash", str(run.job_script)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,
        )
