"""An evaluation on tasks as a process of this machine: on GPUs that the run leaves free, else on the CPU."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from launcher import environment
from launcher.checkpoint.manifest import Manifest
from launcher.plan import LaunchPlan
from launcher.processes import death_with_parent, exit_code
from launcher.run import RunDir

_NICE = ("nice", "-n", "10")
"""The ranks get the cores first."""


class EvalProcess:
    """The process of one evaluation, which ends with the thread that has started it."""

    def __init__(self, folder: RunDir, manifest: Manifest, plan: LaunchPlan, gpus: int) -> None:
        """`gpus`: how many it takes at most."""
        self.manifest, self.log = manifest, folder.logs / "evaluation.log"
        free = free_gpus(os.environ, used_gpus(plan))[:gpus] if plan.device == "cuda" else []
        self.where = f"on GPU {', '.join(free)} of this machine" if free else "on the CPU of this machine"
        self._begun = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_NICE, "bash", str(folder.job_script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, environment.CUDA_VISIBLE_DEVICES: ",".join(free)},
                start_new_session=True,
                preexec_fn=death_with_parent(),
            )

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        code = self._process.poll()
        return None if code is None else exit_code(code)

    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._begun

    def end(self) -> None:
        """Kills it, with what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def used_gpus(plan: LaunchPlan) -> int:
    """GPUs of this machine that the run uses: those of the ranks, and of a server beside them."""
    generation = plan.generation
    beside = generation is not None and generation.is_server and not generation.nodes
    return plan.topology.gpus_per_node + (generation.gpus if generation is not None and beside else 0)


def free_gpus(environ: Mapping[str, str], used: int) -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names them, without the first `used`."""
    visible = environ.get(environment.CUDA_VISIBLE_DEVICES)
    if visible is None:
        devices = [path.name for path in Path("/dev").glob("nvidia*")]
        known = sorted(int(found[1]) for name in devices if (found := re.fullmatch(r"nvidia(\d+)", name)))
        return [str(number) for number in known[used:]]
    return [name for name in visible.split(",") if name][used:]
