"""The trials of a worker: the one that it had before it was queued again, then those that it can claim."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.clusters.job import Job
from launcher.output import say
from launcher.supervise.children import StopSignal
from launcher.sweep import claims
from launcher.sweep.claims import Worker, is_gone
from launcher.sweep.folder import SweepDir
from launcher.sweep.read import why_spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Claims trials of a sweep for one worker, one at a time."""

    sweep: SweepDir
    spec: dict[str, Any]
    worker: Worker
    job: Job | None
    """The job that the worker is in, if the sweep is queued."""
    planned: list[int]
    """Numbers of the trials that were planned before the sweep was written."""
    stopped: StopSignal
    first: int
    """The trial of array index 0."""
    groups: Mapping[int, str | None]
    """Planned trial -> what trials must have in common to share a base model; None for one that runs alone."""

    def trials(self) -> Iterator[int]:
        """Numbers of trials. Each is claimed for this worker only when the caller asks for it."""
        yield from claims.own(self.sweep, self.worker)[:1]
        yield from self._of_grid() if self.spec["sampler"] == "grid" else self._of_sampler()

    def next_of(self, key: str) -> int | None:
        """The next trial that can join a group with this key, claimed for this worker; None if there is none."""
        if self.spec["sampler"] != "grid":
            return next(self._of_sampler(), None)
        joining = (number for number in self.planned if self.groups.get(number) == key)
        return next((number for number in joining if self._take(number)), None)

    def too_late(self, number: int) -> str | None:
        """The reason why a trial of a grid may no longer begin; None if it may, or if it has begun before.

        A worker of a sampler checks the budget before it claims a trial.
        """
        if self.spec["sampler"] != "grid" or self.sweep.trial(number).path.is_dir():
            return None
        why = why_spent(self.sweep)
        return why and f"{why}; raise it with python -m launcher sweep extend {self.sweep.name}"

    def _of_grid(self) -> Iterator[int]:
        """The trial of this task of an array, and those that can train with it; outside of an array every unclaimed trial."""
        index = self.job.index if self.job else None
        numbers = self.planned
        if index is not None:
            key = self.groups.get(self.first + index)
            others = [one for one in self.planned if self.groups.get(one) == key] if key else []
            numbers = list(dict.fromkeys([self.first + index, *others]))
        yield from (number for number in numbers if self._take(number))

    def _of_sampler(self) -> Iterator[int]:
        """Every unclaimed trial, the lowest number first, as long as the budget allows another one."""
        number = 0
        while self._is_over(number) or self._may_exist(number):
            taken = self._take(number)
            if taken:
                yield number
            number = 0 if taken else number + 1  # `sweep resume` may have reopened an earlier trial meanwhile

    def _take(self, number: int) -> bool:
        """Whether this worker has claimed the trial now."""
        return (
            not self._is_over(number)
            and not self._has_stopped()
            and claims.claim(self.sweep, number, self.worker, self._is_gone)
        )

    def _is_gone(self, holder: Any) -> bool:
        return is_gone(str(self.spec["cluster"]), holder)

    def _has_stopped(self) -> bool:
        return self.sweep.stop.exists() or bool(self.stopped.signal)

    def _is_over(self, number: int) -> bool:
        return (self.sweep.outcomes / f"{number}.json").exists()

    def _may_exist(self, number: int) -> bool:
        """Whether the sampler's trial of that number has begun before, or the budget allows it to begin."""
        if self._has_stopped():
            return False
        if claims.read_claim(self.sweep, number) is not None:
            return True
        why = why_spent(self.sweep)
        if why:
            say(why)
        return why is None
