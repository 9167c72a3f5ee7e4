"""Notices to read before the curves: errors, overfitting, forgetting, and faults that the run survived."""

from collections import Counter
from collections.abc import Sequence

from launcher import units
from launcher.report.curves import is_number
from launcher.report.facts import RunFacts, listing, mapping
from launcher.report.page import BAD, PLAIN, WARN, Notice
from launcher.run.events.checkpoints import CheckpointBroken, SaveFailed
from launcher.run.events.launching import EvalJobFailed
from launcher.run.events.ranks import Diverged, RewardFailed
from launcher.run.events.supervisor import Slow
from launcher.units import plural

_FORGOT = 1.05
"""Factor by which the perplexity on general text can rise before the page reports forgetting; 5 % is not a loss of skill."""
_HOSTS = 6


def find_concerns(facts: RunFacts) -> list[Notice]:
    """All notices, the worst first."""
    found = [
        _error(facts),
        *_marked(facts),
        *_warnings(facts),
        _forgetting(facts),
        _stopped_early(facts),
        *_survived(facts),
    ]
    return sorted((one for one in found if one), key=lambda one: one.tone != BAD)


def _error(facts: RunFacts) -> Notice | None:
    error, note = facts.status.get("error"), facts.status.get("note")
    if error:
        return Notice(tone=BAD, title="What went wrong", text=str(error))
    return Notice(tone=WARN, title="Uncertain state", text=str(note)) if note else None


def _warnings(facts: RunFacts) -> list[Notice]:
    """The warnings of `status`, each with the words before its colon as the title."""
    found: list[Notice] = []
    for warning in listing(facts.status.get("warnings")):
        title, colon, text = str(warning).partition(": ")
        found.append(
            Notice(tone=WARN, title=_upper(title) if colon else "Warning", text=_upper(text or title))
        )
    return found


def _forgetting(facts: RunFacts) -> Notice | None:
    """A notice if general text, which is not trained on, has become less likely to the model."""
    general = mapping(facts.status.get("general"))
    before, now, increase = (general.get(key) for key in ("before", "now", "increase"))
    if not (is_number(before) and is_number(now) and is_number(increase)) or increase <= _FORGOT:
        return None
    return Notice(
        tone=WARN,
        title="Forgetting",
        text=f"Perplexity on general text was {units.number(before)} before training and is {units.number(now)} at step "
        f"{general.get('step')}, {increase:.3g} times as high: the model loses abilities that it had before. Mix general chats "
        "into the data, lower the learning rate or the adapter's rank, or stop earlier.",
    )


def _stopped_early(facts: RunFacts) -> Notice | None:
    stopped = mapping(facts.status.get("early_stopped"))
    if not stopped:
        return None
    best = stopped.get("best")
    result = (
        f"was best with {best:.4f} at step {stopped.get('best_step')}"
        if is_number(best)
        else "was never a finite number"
    )
    return Notice(
        tone=PLAIN,
        title=f"Stopped early, at step {stopped.get('step')}",
        text=f"{stopped.get('metric')} {result}, and has not improved in {stopped.get('patience')} evaluations since.",
    )


def _marked(facts: RunFacts) -> list[Notice]:
    failed = facts.of(SaveFailed)
    broken = facts.of(CheckpointBroken)
    return [
        *_warning(
            f"{plural(len(failed), 'checkpoint')} could not be written",
            "The run continued without them; a fault in that time would have lost more steps.",
            _distinct([f"step {event.step}: {event.error}" for event in failed]),
        ),
        *_warning(
            f"{plural(len(broken), 'checkpoint')} found incomplete or damaged",
            "The run resumed from an earlier checkpoint.",
            _distinct([event.reason for event in broken]),
        ),
    ]


def _survived(facts: RunFacts) -> list[Notice]:
    slow = {event.host: event.relative for event in facts.of(Slow)}
    hosts = [f"{host}: {speed:.2f} of the others' speed" for host, speed in slow.items()]
    return [
        *_warning(
            "The loss diverged",
            "The run rolled back to its newest checkpoint and skipped these batches.",
            [f"step {event.step}: {event.why}" for event in facts.of(Diverged)],
        ),
        *_warning(
            "Evaluations on tasks failed",
            "The training was not affected.",
            _distinct([f"step {event.step}: {event.reason}" for event in facts.of(EvalJobFailed)]),
        ),
        *_warning(
            "Reward functions failed",
            "Answers that they could not judge got trainer.reward_if_failed, or were judged one at a time (alone); "
            "rewards_failed in metrics.jsonl counts them.",
            _distinct([f"{event.function}: {event.why}" for event in facts.of(RewardFailed)]),
        ),
        *_warning("Slow hosts", "Every rank waits for the slowest.", _first(hosts, _HOSTS)),
    ]


def _warning(title: str, text: str, items: list[str]) -> list[Notice]:
    """One warning with these items; none if there are no items."""
    return [Notice(tone=WARN, title=title, text=text, items=items)] if items else []


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _distinct(lines: Sequence[str], most: int = 5) -> list[str]:
    """The first distinct lines, each with the number of times it occurs, and how many more there are."""
    counts = Counter(lines)
    told = [line if count == 1 else f"{line} ({count} times)" for line, count in counts.items()]
    return _first(told, most)


def _first(lines: list[str], most: int) -> list[str]:
    """The first `most` lines, and a line with the number of the others."""
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]
