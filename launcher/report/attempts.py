"""Events -> every attempt of a run on one clock: start-up, training that stayed, training that was lost, and what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.report import say
from launcher.report.facts import RunFacts, seconds

_ENDS = ("ended", "finished", "stopped", "requeued", "pruned", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One start of the ranks; times in seconds since the first."""

    number: int
    job: str
    host: str
    began: float
    trained: float
    """When its first step was done, or its end where there was none."""
    kept: float
    """Until when its training stayed."""
    ended: float
    from_step: int
    to_step: int | None
    """The last logged step."""
    lost_steps: int
    how: str
    why: str
    did: str
    saves: tuple[tuple[float, int], ...]
    """(time, step) of its committed checkpoints."""


def find_attempts(facts: RunFacts) -> list[Attempt]:
    """All attempts in their order; empty before the first start."""
    starts = facts.of("started")
    if not starts:
        return []
    first = seconds(starts[0]["time"])
    found: list[Attempt] = []
    for index, start in enumerate(starts):
        following = starts[index + 1] if index + 1 < len(starts) else None
        found.append(_attempt(facts, start, following, first))
    return found


def _attempt(
    facts: RunFacts, start: Mapping[str, Any], following: Mapping[str, Any] | None, first: float
) -> Attempt:
    number = int(start["attempt"])
    own = [event for event in facts.events if event["attempt"] == number and event["time"] >= start["time"]]
    end = next((event for event in own if event["event"] in _ENDS), None)
    began = seconds(start["time"])
    ended = seconds((end or following or {"time": facts.written})["time"])
    lines = [line for line in facts.metrics if "loss" in line and began <= seconds(line["time"]) <= ended]
    resumed = next((event for event in own if event["event"] == "resumed"), None)
    from_step = int(resumed["step"]) if resumed else 0
    to_step = int(lines[-1]["step"]) if lines else None
    stepping = next((event for event in own if event["event"] == "stepping"), None)
    trained = seconds(stepping["time"]) if stepping else seconds(lines[0]["time"]) if lines else ended
    saves = [event for event in own if event["event"] == "saved"]
    last = next((event for event in own if event["event"] in ("finished", "stopped", "requeued")), end)
    finished = any(event["event"] == "finished" for event in own)
    kept_step = _kept(facts, number, following, saves, to_step, running=end is None or finished)
    lost = max(0, (to_step or 0) - max(kept_step, from_step)) if to_step is not None else 0
    kept = max([seconds(line["time"]) for line in lines if line["step"] <= kept_step], default=trained)
    return Attempt(
        number=number,
        job=str(start.get("job_id") or ""),
        host=str(start.get("host") or ""),
        began=began - first,
        trained=min(trained, ended) - first,
        kept=(kept if lost else ended) - first,
        ended=ended - first,
        from_step=from_step,
        to_step=to_step,
        lost_steps=lost,
        how=str(
            (end or {}).get("how") or (end["event"] if end else "goes on" if not following else "unknown")
        ),
        why=str((end or {}).get("reason") or ""),
        did=_did(last, following, start, ended),
        saves=tuple((seconds(event["time"]) - first, int(event["step"])) for event in saves),
    )


def _kept(
    facts: RunFacts,
    number: int,
    following: Mapping[str, Any] | None,
    saves: Sequence[Mapping[str, Any]],
    to_step: int | None,
    *,
    running: bool,
) -> int:
    """The last step of an attempt that did not have to be done again: where the next one went on, else its newest save."""
    if following is not None:
        after = (
            event for event in facts.of("resumed", "training") if event["attempt"] == following["attempt"]
        )
        went_on = next(after, None)
        if went_on is not None:
            return int(went_on["step"])
    if running and following is None:
        return to_step or 0
    earlier = [int(event["step"]) for event in facts.of("saved") if event["attempt"] <= number]
    return max([*(int(event["step"]) for event in saves), *earlier], default=0)


def _did(
    last: Mapping[str, Any] | None,
    following: Mapping[str, Any] | None,
    start: Mapping[str, Any],
    ended: float,
) -> str:
    if last is not None and last["event"] == "stopped":
        return "stopped for good" if following is None else "stopped, and resumed by hand"
    if following is None:
        return "queued again" if last is not None and last["event"] == "requeued" else ""
    gap = seconds(following["time"]) - ended
    after = f"after {say.duration(gap)}" if gap >= 0.1 else "at once"
    if following.get("job_id") == start.get("job_id"):
        same_host = following.get("host") == start.get("host")
        where = "in the same job" if same_host else f"in the same job, on {following.get('host')}"
        return f"started again {where} {after}"
    return f"queued again; started as job {following.get('job_id')} {after}"
