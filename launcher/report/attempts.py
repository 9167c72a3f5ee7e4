"""The attempts of a run as its page shows them, with text on what was done after each."""

from collections.abc import Sequence

from launcher import units
from launcher.report.facts import RunFacts
from launcher.run import attempts
from launcher.run.attempts import Attempt
from launcher.run.history import History

RUNNING = "still running"
"""Shown in place of the end of an attempt that still runs."""


def find_attempts(facts: RunFacts) -> list[Attempt]:
    """All attempts in order; empty before the first start."""
    return attempts.find_attempts(History.of(facts.events, facts.metrics), facts.written)


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
