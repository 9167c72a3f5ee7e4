"""The result of a command that starts trials of a sweep, as JSON and as text."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launcher.clusters.registry import find_cluster
from launcher.launching.plan_warnings import extent_dict
from launcher.launching.summary import data_line, training_line
from launcher.plan.extent import extent_of
from launcher.sweep.folder import SweepDir
from launcher.sweep.planning import PreparedSweep
from launcher.sweep.printed import SweepExtended, SweepLaunched, SweepResumed
from launcher.sweep.trials import ranges
from launcher.units import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult(ABC):
    """The trials of a sweep were queued, are to run on this machine, or were only written (a dry run)."""

    sweep: SweepDir
    job_ids: Sequence[str] = ()
    here: bool = False
    """Whether the trials are to run on this machine, as processes of the command."""
    notes: Sequence[str] = ()
    """Lines for stderr."""

    @abstractmethod
    def report(self) -> SweepLaunched | SweepResumed | SweepExtended:
        """The result as JSON."""

    @abstractmethod
    def text(self) -> str:
        """The result as text: what was done, and the next command."""

    def next_command(self) -> str:
        """The command that shows the state of the sweep."""
        return f"python -m launcher sweep status {self.sweep.name}"


Tell = Callable[[SweepResult], None]
"""Reports the result to the caller. The submission is complete when this returns; it is repeated if it is interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedSweep(SweepResult):
    """A new sweep, or one whose submission was interrupted before."""

    prepared: PreparedSweep

    def report(self) -> SweepLaunched:
        """The result as JSON."""
        spec = self.prepared.spec
        return {
            "sweep": self.sweep.name, "sweep_dir": str(self.sweep.path), "cluster": spec["cluster"],
            "trials": self._number(), "job_ids": list(self.job_ids), "dry_run": spec["dry_run"], "command": self._command(),
            "training": extent_dict(self.prepared.config, self.prepared.plan),
            "together": self.prepared.groups.report() if self.prepared.groups else None,
        }  # fmt: skip

    def text(self) -> str:
        """The result as text."""
        spec, number = self.prepared.spec, self._number()
        how = (
            "every combination"
            if spec["sampler"] == "grid"
            else f"{spec['sampler']}, {spec['pruner']} prunes"
        )
        over = ", ".join(spec["parameters"]) or "nothing"
        extent = extent_of(self.prepared.config, self.prepared.plan)
        lines = [
            f"sweep     {self.sweep.name}",
            f"folder    {self.sweep.path}",
            f"trials    {'until the budget is spent' if number is None else number} ({how}) over {over}",
            f"data      {data_line(self.prepared.plan, extent)}",
            f"training  the first: {training_line(self.prepared.plan, extent)}",
        ]
        lines += self.prepared.groups.lines() if self.prepared.groups else []
        if self.job_ids:
            lines.append(f"jobs      {', '.join(self.job_ids)}")
        elif spec["dry_run"]:
            queued = find_cluster(self.prepared.plan.cluster).queued
            lines += [
                f"dry run   nothing was {'submitted' if queued else 'started'}",
                f"{'submit' if queued else 'start'} with  {self._command()}",
            ]
        return "\n".join([*lines, f"next      {self.next_command()}"])

    def _number(self) -> int | None:
        """The number of trials; None if a time budget decides it."""
        return len(self.prepared.trials) or self.prepared.spec["budget"]["trials"]

    def _command(self) -> str:
        cluster = find_cluster(self.prepared.plan.cluster)
        scripts = [self.sweep.path / array.script for array in self.prepared.arrays]
        return " && ".join(shlex.join(cluster.submit_command(script)) for script in scripts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumedSweep(SweepResult):
    """A sweep that resumes."""

    trials: Sequence[int]
    """Trials that are trained again; none if a sampler chooses the next ones."""

    def report(self) -> SweepResumed:
        """The result as JSON."""
        return {"sweep": self.sweep.name, "trials": list(self.trials), "job_ids": list(self.job_ids)}

    def text(self) -> str:
        """The result as text."""
        jobs = f" as {', '.join(self.job_ids)}" if self.job_ids else ""
        which = ranges(list(self.trials)) or "the next ones"
        count = plural(len(self.trials), "trial")
        return f"{self.sweep.name}: resumes with {count} ({which}){jobs}\nnext  {self.next_command()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended(SweepResult):
    """A grid that has more trials."""

    trials: int
    """Number of added trials."""

    def report(self) -> SweepExtended:
        """The result as JSON."""
        return {"sweep": self.sweep.name, "trials": self.trials, "job_ids": list(self.job_ids)}

    def text(self) -> str:
        """The result as text."""
        more = (
            plural(self.trials, "more trial") if self.trials else "no new trial; waiting trials are started"
        )
        return f"{self.sweep.name}: {more}\nnext  {self.next_command()}"
