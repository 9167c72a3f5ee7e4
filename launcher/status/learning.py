"""How a run learned, by its own files: early stopping, forgetting, overfitting. These are pure functions."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from launcher.run.course import Course
from launcher.run.events.ranks import EarlyStopped
from launcher.run.events.results import General
from launcher.run.history import History
from launcher.run.long_course import LongCourse
from launcher.units import plural

_RISES = 2
"""Number of consecutive evaluations above the best from which a rise counts."""
_RISE = 0.01
"""Relative rise of the newest evaluation loss over the best from which it counts."""


class StoppedEarly(TypedDict):
    """A run that the plugin early_stopping has ended."""

    step: int
    """The step after which it ended."""
    metric: str
    """The metric that it watched."""
    best: float | None
    """The metric's best value; null if it was always NaN or infinite."""
    best_step: int | None
    """The step of that value; null if there is none."""
    patience: int
    """Evaluations in a row without an improvement, after which it ended."""


class GeneralText(TypedDict):
    """The perplexity on general text, as the plugin forgetting_guard measures it."""

    before: float | None
    """Before training; null if it was not measured then."""
    now: float
    """At the newest measurement."""
    step: int
    """The step of the newest measurement."""
    increase: float
    """The newest value as a multiple of that before training."""


def early_stopped(history: History) -> StoppedEarly | None:
    """When and why the run was stopped early; None for another run."""
    found = history.newest(EarlyStopped)
    if found is None:
        return None
    return {
        "step": found.step,
        "metric": found.metric,
        "best": found.best,
        "best_step": found.best_step,
        "patience": found.patience,
    }


def general(history: History) -> GeneralText | None:
    """The perplexity on general text; None if it was not measured."""
    measured = history.all(General)
    if not measured:
        return None
    last = measured[-1]
    before = last.perplexity / last.increase if last.increase else None
    first = next((event.perplexity for event in measured if event.when == "before"), before)
    return {"before": first, "now": last.perplexity, "step": last.step, "increase": last.increase}


def overfitting(course: Course | LongCourse) -> str | None:
    """One sentence if the evaluation loss has risen while the training loss has fallen; None otherwise."""
    evaluated = course.eval_losses
    if not evaluated:
        return None
    best_step = min(evaluated, key=lambda step: (evaluated[step], step))
    since = [step for step in evaluated if step > best_step]
    last = max(evaluated)
    if len(since) < _RISES or evaluated[last] <= evaluated[best_step] * (1 + _RISE):
        return None
    before, after = course.mean_losses(best_step)
    if before is None or after is None or after >= before:
        return None
    return (
        f"overfitting: the evaluation loss rose from {evaluated[best_step]:.4f} at step {best_step} to "
        f"{evaluated[last]:.4f} at step {last}, while the training loss fell from {before:.4f} to {after:.4f}; the plugin "
        "early_stopping exports the best step"
    )


def damaged_lines(damaged: Mapping[str, int]) -> list[str]:
    """A sentence for each file of the run of which lines were left out."""
    return [
        f"{file}: {plural(count, 'line')} left out as torn or invalid; all others count"
        for file, count in damaged.items()
    ]


def sampled_line(places: int, lines: int) -> str:
    """How much was read of a large metrics.jsonl, in a sentence."""
    return (
        f"the time of a step is from a sample of {places:,} of {lines:,} lines, and of the lines that were not parsed, only "
        "torn ones count as damaged"
    )


def learning_lines(
    stopped: StoppedEarly | None, forgotten: GeneralText | None, warnings: Sequence[str]
) -> list[tuple[str, str]]:
    """What is known about the run's learning, as (label, text)."""
    lines: list[tuple[str, str]] = []
    if stopped:
        known = stopped["best"] is not None
        best = (
            f"was best with {stopped['best']:.4f} at step {stopped['best_step']}"
            if known
            else "was always NaN or infinite"
        )
        tries = f"not better in {stopped['patience']} evaluations since"
        lines.append(("stopped early", f"at step {stopped['step']}: {stopped['metric']} {best}, {tries}"))
    if forgotten:
        before = f"{forgotten['before']:.4g}" if forgotten["before"] is not None else "not measured"
        text = f"perplexity {before} before training, {forgotten['now']:.4g} at step {forgotten['step']}"
        lines.append(("general text", f"{text} ({forgotten['increase']:.3g} times)"))
    return lines + [("warning", warning) for warning in warnings]
