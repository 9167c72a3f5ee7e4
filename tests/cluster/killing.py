"""A launch that is killed at a random point of its life, on the real cluster."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from launcher.resources import resource_dir
from tests.support.lab import Lab
from tests.support.runs import environment


def kill_within(
    lab: Lab,
    folder: Path,
    words: Sequence[str],
    dice: random.Random,
    *,
    life_s: float,
    sign: str,
    after_s: float,
) -> str:
    """Runs the launch, SIGKILLs it at a random point, and returns its output so far.

    A third of the points lie anywhere in the first `life_s` seconds, the others within `after_s` of the moment at which
    `sign`, a pattern under `folder`, is there. Half of the kills take sbatch along.
    """
    launch = subprocess.Popen(
        [str(resource_dir("slurm") / "lab"), "exec", *words], cwd=folder, env=environment(**lab.settings),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with_sbatch = dice.random() < 0.5
    if dice.random() < 1 / 3:
        until = time.monotonic() + dice.uniform(0, life_s)
    else:
        while launch.poll() is None and not list(folder.glob(sign)):
            time.sleep(0.001)
        until = time.monotonic() + dice.uniform(0, after_s)
    while launch.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    for pid in _children(
        launch.pid
    ):  # that which went into the cluster's namespace has one child: the launcher
        for victim in (pid, *(_children(pid) if with_sbatch else [])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
    said, _ = launch.communicate(timeout=60)
    return said


def jobs(lab: Lab, folder: Path, name: str) -> list[str]:
    """Ids of the jobs of that name that are in the queue."""
    shown = lab.run("squeue", "--noheader", f"--name={name}", "--format=%A", cwd=folder)
    return shown.stdout.split()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
