"""What a person should look at before the curves: errors, overfitting, forgetting, and faults that were survived."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from launcher.report import say
from launcher.report.curves import Points, Record, is_number, points
from launcher.report.facts import RunFacts
from launcher.report.page import BAD, WARN, Notice

_RISE = 0.01
"""Rise of the evaluation loss over its lowest, from which it is called one: less is noise of a small evaluation set."""
_FORGOT = 0.05
"""Rise of the perplexity on general text from which forgetting is named, where the run's own guard said nothing."""
_HOSTS = 6


def find_concerns(facts: RunFacts, record: Record) -> list[Notice]:
    """All of them, the worst first."""
    found = [_error(facts), *_marked(facts), _overfitting(record), _forgetting(facts), *_survived(facts)]
    return sorted((one for one in found if one), key=lambda one: one.tone != BAD)


def _error(facts: RunFacts) -> Notice | None:
    error, note = facts.status.get("error"), facts.status.get("note")
    if error:
        return Notice(tone=BAD, title="What went wrong", text=str(error))
    return Notice(tone=WARN, title="Not certain", text=str(note)) if note else None


def _overfitting(record: Record) -> Notice | None:
    """Where evaluation loss rises while training loss goes on falling."""
    evaluated, trained = points(record.evaluation, "eval_loss"), points(record.training, "loss")
    if len(evaluated) < 3 or not trained:
        return None
    lowest = min(range(len(evaluated)), key=lambda at: evaluated[at][1])
    (best_step, best), (last_step, last) = evaluated[lowest], evaluated[-1]
    if lowest == 0 or last <= best * (1 + _RISE):
        return None
    before = _mean(trained, evaluated[lowest - 1][0], best_step)
    after = _mean(trained, evaluated[-2][0], last_step)
    if before is None or after is None or after >= before:
        return None
    return Notice(
        tone=WARN,
        title="Overfitting",
        text=f"Evaluation loss was lowest at step {best_step:,.0f} ({best:.4f}) and is {last:.4f} at step {last_step:,.0f}, "
        f"{say.percent(last / best - 1)} higher, while training loss fell from {before:.4f} to {after:.4f}. From there on "
        "the model learns its training set by heart: use the checkpoint next to that step, fewer epochs, more data, or a "
        "lower learning rate.",
    )


def _mean(curve: Points, after: float, until: float) -> float | None:
    values = [y for x, y in curve if after < x <= until]
    return fmean(values) if values else None


def _forgetting(facts: RunFacts) -> Notice | None:
    """A rise of the perplexity on text that is not trained on, by the run's own word or by its figures."""
    told = [event for event in facts.events if "forg" in event["event"]]
    rises = [_rise(event) for event in told]
    values = [(event, rise) for event, rise in zip(told, rises, strict=True) if rise is not None]
    if not values:
        return None
    event, rise = values[-1]
    if rise <= _FORGOT and not event.get("warning") and not event.get("exceeded"):
        return None
    step = event.get("step")
    where = f" at step {step:,}" if isinstance(step, int) else ""
    return Notice(
        tone=WARN,
        title="Forgetting",
        text=f"Perplexity on text that is not trained on has risen by {say.percent(rise)}{where}: the model loses what it "
        "could do before. Mix general chats into the data, lower the learning rate or the adapter's rank, or stop earlier.",
    )


def _rise(event: Mapping[str, Any]) -> float | None:
    for now, before in (("perplexity", "before"), ("perplexity", "perplexity_before"), ("after", "before")):
        if is_number(event.get(now)) and is_number(event.get(before)) and event[before]:
            return float(event[now]) / float(event[before]) - 1
    ratio = event.get("ratio")
    return float(ratio) - 1 if ratio is not None and is_number(ratio) else None


def _marked(facts: RunFacts) -> list[Notice]:
    failed = facts.of("save_failed")
    broken = facts.of("checkpoint_broken")
    found: list[Notice] = []
    if failed:
        found.append(
            Notice(
                tone=WARN,
                title=f"{say.plural(len(failed), 'checkpoint')} could not be written",
                text="The run went on without; a fault in that time would have lost more.",
                items=_distinct([f"step {event.get('step')}: {event.get('error')}" for event in failed]),
            )
        )
    if broken:
        found.append(
            Notice(
                tone=WARN,
                title=f"{say.plural(len(broken), 'checkpoint')} found torn or damaged",
                text="The run went on from the one before.",
                items=_distinct([str(event.get("reason")) for event in broken]),
            )
        )
    return found


def _survived(facts: RunFacts) -> list[Notice]:
    found: list[Notice] = []
    diverged = facts.of("diverged")
    if diverged:
        found.append(
            Notice(
                tone=WARN,
                title="The loss left its course",
                text="The run went back to its newest checkpoint and left these batches out.",
                items=[f"step {event.get('step')}: {event.get('why')}" for event in diverged],
            )
        )
    slow = {str(event.get("host")): event.get("relative") for event in facts.of("slow")}
    if slow:
        lines = [
            f"{host}: {speed:.2f} of the others' speed" for host, speed in slow.items() if is_number(speed)
        ]
        found.append(
            Notice(
                tone=WARN, title="Slow hosts", text="Every rank waits for the slowest.", items=lines[:_HOSTS]
            )
        )
    return found


def _distinct(lines: Sequence[str], most: int = 5) -> list[str]:
    """Each line once, with how often it came; the first of them."""
    counts = Counter(lines)
    return [line if count == 1 else f"{line} ({count} times)" for line, count in list(counts.items())[:most]]
