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
                "resumed_from": None, "how": None, "reason": None, "hosts": [], "slow": {},
            }  # fmt: skip
        elif number not in found:
            continue
        elif event["event"] == "resumed":
            found[number]["resumed_from"] = event["step"]
        elif event["event"] == "slow":
            found[number]["slow"][event["host"]] = event["relative"]
        elif event["event"] == "ended":
            found[number] |= {key: event[key] for key in ("how", "reason", "hosts")}
        elif event["event"] in ("finished", "stopped") and found[number]["how"] is None:
            found[number] |= {"how": event["event"], "reason": event.get("reason")}
    return list(found.values())


def effective_training_time(
    events: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> float | None:
    """Steps that stayed x their median time / wall time since the first start; None before there are two steps."""
    starts = [_seconds(event["time"]) for event in events if event["event"] == "started"]
    step_s = _step_s(metrics)
    if step_s is None or not starts:
        return None
    over = next((event for event in reversed(events) if event["event"] in ("finished", "stopped")), None)
    end = _seconds(over["time"]) if over else datetime.now(timezone.utc).timestamp()
    wall = end - starts[0]
    return min(1.0, _logged(metrics)[-1]["step"] * step_s / wall) if wall > 0 else None


def next_save(
    plan: Mapping[str, Any], events: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]
) -> dict[str, float | None] | None:
    """Step of the next save of a run that is training, and in how many seconds it comes; None where that is not known."""
    lines, save = _logged(metrics), plan.get("save")
    if not lines or not save:
        return None
    step = int(lines[-1]["step"])
    found = next((event for event in reversed(events) if event["event"] == "interval"), None)
    if save["save_steps"]:
        due = (step // save["save_steps"] + 1) * save["save_steps"]
    elif found is not None:
        saved = max((event["step"] for event in events if event["event"] == "saved"), default=0)
        due = max(step + 1, saved + found["steps"])
    else:
        return None
    due = min(due, lines[-1].get("total_steps") or due)
    step_s = _step_s(metrics)
    return (
        {"step": due, "in_s": None if step_s is None else round((due - step) * step_s, 1)}
        if due > step
        else None
    )


def _logged(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [line for line in metrics if line.get("loss") is not None and "time" in line]


def _step_s(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """Median seconds of a step; None before there are two."""
    steps = [
        (_seconds(later["time"]) - _seconds(earlier["time"])) / (later["step"] - earlier["step"])
        for earlier, later in itertools.pairwise(_logged(metrics))
        if later["step"] > earlier["step"]
    ]
    return statistics.median(steps) if steps else None


def attempt_lines(record: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(label, text) of each attempt that ended before the run did, the newest last, and of slow hosts."""
    ended = [one for one in record if one["how"] not in (None, "finished")]
    more = [("", f"and {len(ended) - _SHOWN} before them")] if len(ended) > _SHOWN else []
    said = [(f"attempt {one['attempt']}", f"{one['how']}: {one['reason']}") for one in ended[-_SHOWN:]]
    slow = {host: speed for one in record for host, speed in one["slow"].items()}
    return (
        more
        + said
        + [("slow host", f"{host}: {speed:.2f} of the others' speed") for host, speed in slow.items()]
    )


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
