"""The facts of a run from which its page is made: the contents of its files, read by the caller, and its attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from launcher import units
from launcher.run import attempts
from launcher.run.attempts import Attempt
from launcher.run.events import Event
from launcher.run.history import History
from launcher.run.metrics import Line

E = TypeVar("E", bound=Event)
RUNNING = "still running"
"""Shown in place of the end of an attempt that still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run's files as values. Any key in them can be missing, because another version may have written them."""

    name: str
    run_dir: str
    plan: Mapping[str, Any]
    events: Sequence[Event]
    metrics: Sequence[Line]
    """All lines of metrics.jsonl, or a sample of very many."""
    data_check: Sequence[Mapping[str, Any]]
    status: Mapping[str, Any]
    """The output of `status --json`."""
    overrides: Sequence[str]
    """The overrides of the command line."""
    export: Sequence[tuple[str, int]]
    """(name, bytes) of the files of the exported model."""
    written: str
    """Time at which the page is made, ISO 8601."""
    version: str
    history: History | None = None
    """The whole course of the run, where `metrics` is a sample; None: that of `events` and `metrics`."""
    lines: int | None = None
    """Lines of metrics.jsonl, where `metrics` is a sample."""
    gpu_memory_gib: float | None = None
    """cluster.gpu_memory_gib of the run; None if it is not set."""

    def of(self, kind: type[E]) -> list[E]:
        """The events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type[E]) -> E | None:
        """The newest event of a kind."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty mapping."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def listing(value: Any) -> Sequence[Any]:
    """`value` if it is a list or tuple, else an empty tuple."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def at(value: Any, *keys: str) -> Any:
    """value[key][key]...; None if one of the keys is missing."""
    for key in keys:
        value = mapping(value).get(key)
    return value


def find_attempts(facts: RunFacts) -> list[Attempt]:
    """All attempts in order; empty before the first start."""
    return attempts.find_attempts(facts.history or History.of(facts.events, facts.metrics), facts.written)


def what_came_next(found: Sequence[Attempt]) -> list[str]:
    """For each attempt, text on what was done after it; empty if nothing was done."""
    return [
        _next(one, found[index + 1] if index + 1 < len(found) else None) for index, one in enumerate(found)
    ]


def _next(one: Attempt, following: Attempt | None) -> str:
    if one.stopped:
        return "stopped" if following is None else "stopped, and resumed by hand"
    if following is None:
        return "queued again" if one.requeued else ""
    gap = following.began - one.ended
    after = f"after {units.elapsed(gap)}" if gap >= 0.1 else "at once"
    if following.job_id == one.job_id:
        where = "in the same job" + ("" if following.host == one.host else f", on {following.host}")
        return f"started again {where} {after}"
    return f"queued again; started as job {following.job_id} {after}"
