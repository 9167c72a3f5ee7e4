"""The faults of tests/benchmarks/goodput.py: which come when, and how each is done to whatever arm is running."""

import random
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from launcher.run import read_lines
from tests.support.lab import Lab

MEAN_S = 60.0
"""Mean time between failures."""
BOOT_S = 30.0
"""From a node's crash until it boots again."""
_HEARD_S = 3.0
"""A rank that has not raised after so long was not training."""


class Kind(Enum):
    """What goes wrong."""

    KILL = "kill"
    """A rank gets SIGKILL."""
    STOP = "stop"
    """A rank gets SIGSTOP, and nothing continues it but what ends it."""
    RAISE = "raise"
    """A rank raises an exception in a step."""
    CRASH = "crash"
    """A node loses its power, and boots BOOT_S later."""
    REQUEUE = "requeue"
    """`scontrol requeue`, which is what a pre-emption does: TERM, KILL after KillWait, queued again."""
    TERM = "term"
    """`scancel --signal=TERM --full`: the batch script and the ranks are told to shut down, and Slurm queues nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One of the schedule."""

    at_s: float
    """Seconds after the arm's first step."""
    kind: Kind
    rank: int
    """The rank, one a node, and so the node."""


def make_schedule(seed: int, seconds: float, ranks: int = 2) -> list[Fault]:
    """One fault for every MEAN_S, at random moments; the kinds in turns of random order. The same for every arm.

    Uniform moments are those of a Poisson process whose count is given, so the mean distance is MEAN_S for every seed.
    """
    generator = random.Random(seed)
    count = round(seconds / MEAN_S)
    moments = sorted(generator.uniform(0, seconds) for _ in range(count))
    kinds = [kind for _ in range(-(-count // len(Kind))) for kind in generator.sample(list(Kind), len(Kind))]
    return [
        Fault(at_s=round(moment, 3), kind=kind, rank=generator.randrange(ranks))
        for moment, kind in zip(moments, kinds, strict=False)
    ]


class Injector:
    """Does faults to the arm whose ranks write `journal`, and remembers what each hit."""

    def __init__(self, lab: Lab, folder: Path, journal: Path) -> None:
        self.lab, self.folder, self.journal = lab, folder, journal
        self.done: list[dict[str, Any]] = []
        self._boots: list[tuple[float, str]] = []
        self._raises: list[tuple[float, Path, dict[str, Any]]] = []

    def inject(self, fault: Fault, job: str | None) -> None:
        """Does it now. A fault that finds nothing to hit, such as a rank between two attempts, is noted as such."""
        known = {"at_s": fault.at_s, "kind": fault.kind.value, "rank": fault.rank, "time": time.time()}
        known["hit"] = getattr(self, f"_{fault.kind.value}")(fault, job, known)
        self.done.append(known)

    def go_on(self) -> None:
        """Boots what has been down for long enough; takes back what nobody heard."""
        moment = time.monotonic()
        for due, host in [one for one in self._boots if one[0] < moment]:
            self.lab("boot", host)
            self._boots.remove((due, host))
        for due, path, known in [one for one in self._raises if one[0] < moment]:
            known["hit"] = not path.exists()
            path.unlink(missing_ok=True)
            self._raises.remove((due, path, known))

    def _kill(self, fault: Fault, job: str | None, known: dict[str, Any]) -> bool:
        return self._signal(fault.rank, "KILL")

    def _stop(self, fault: Fault, job: str | None, known: dict[str, Any]) -> bool:
        return self._signal(fault.rank, "STOP")

    def _raise(self, fault: Fault, job: str | None, known: dict[str, Any]) -> bool:
        path = self.folder / f"raise_{fault.rank}"
        path.touch()
        self._raises.append((time.monotonic() + _HEARD_S, path, known))
        return True

    def _crash(self, fault: Fault, job: str | None, known: dict[str, Any]) -> bool:
        newest = self._newest(fault.rank)
        if newest is None or any(host == newest["host"] for _, host in self._boots):
            return False
        self.lab("crash", newest["host"])
        self._boots.append((time.monotonic() + BOOT_S, newest["host"]))
        return True

    def _requeue(self, fault: Fault, job: str | None, known: dict[str, Any]) -> bool:
        return self._slurm("scontrol", "requeue", job)

    def _term(self, fault: Fault, job: str | None, known: dict[str, Any]) -> bool:
        return self._slurm("scancel", "--signal=TERM", "--full", job)

    def _slurm(self, *words: str | None) -> bool:
        if words[-1] is None:
            return False
        job = str(words[-1])
        state = self.lab.run("squeue", "-h", "-j", job, "-o", "%T", cwd=self.folder, check=False)
        if state.stdout.strip() != "RUNNING":
            return False
        return self.lab.run(*map(str, words), cwd=self.folder, check=False).returncode == 0

    def _signal(self, rank: int, name: str) -> bool:
        newest = self._newest(rank)
        if newest is None or any(host == newest["host"] for _, host in self._boots):
            return False
        host, pid, ticks = newest["process"].split("/")
        stat = self.lab.on(host, "cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()
        if not stat or stat[19] != ticks:  # it has ended, and another process may have its number
            return False
        return self.lab.on(host, "kill", f"-{name}", pid).returncode == 0

    def _newest(self, rank: int) -> dict[str, Any] | None:
        """The newest process of a rank, where it may still live."""
        found = [
            line for line in read_lines(self.journal) if line["what"] == "process" and line["rank"] == rank
        ]
        return found[-1] if found else None
