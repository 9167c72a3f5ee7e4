"""What a run's own files say of its attempts: what ended each, and which share of the time was training that stayed."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

_SHOWN = 8


def attempts(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A dict per attempt: number, job, host, start, first step, how it ended and why; `how` is None while it runs."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        number = event["attempt"]
        if event["event"] == "started":
            found[number] = {
                "attempt": number, "job_id": event.get("job_id"), "host": event.get("host"), "started": event["time"],
                "resumed_from": None, "how": None, "reason": None, "hosts": [],
            }  # fmt: skip
        elif number not in found:
            continue
        elif event["event"] == "resumed":
            found[number]["resumed_from"] = event["step"]
        elif event["event"] == "ended":
            found[number] |= {key: event[key] for key in ("how", "reason", "hosts")}
        elif event["event"] in ("finished", "stopped") and found[number]["how"] is None:
            found[number] |= {"how": event["event"], "reason": event.get("reason")}
    return list(found.values())


def effective_training_time(
    events: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> float | None:
    """Steps that stayed x their median time / wall time since the first start; None before there are two steps."""
    lines = [line for line in metrics if line.get("loss") is not None and "time" in line]
    starts = [_seconds(event["time"]) for event in events if event["event"] == "started"]
    steps = [
        (_seconds(later["time"]) - _seconds(earlier["time"])) / (later["step"] - earlier["step"])
        for earlier, later in itertools.pairwise(lines)
        if later["step"] > earlier["step"]
    ]
    if not steps or not starts:
        return None
    over = next((event for event in reversed(events) if event["event"] in ("finished", "stopped")), None)
    end = _seconds(over["time"]) if over else datetime.now(timezone.utc).timestamp()
    wall = end - starts[0]
    return min(1.0, lines[-1]["step"] * statistics.median(steps) / wall) if wall > 0 else None


def attempt_lines(record: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(label, text) of each attempt that ended before the run did, the newest last."""
    ended = [one for one in record if one["how"] not in (None, "finished")]
    more = [("", f"and {len(ended) - _SHOWN} before them")] if len(ended) > _SHOWN else []
    said = [(f"attempt {one['attempt']}", f"{one['how']}: {one['reason']}") for one in ended[-_SHOWN:]]
    return more + said


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
