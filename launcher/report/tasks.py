"""The section of a run that was evaluated on tasks of lm-evaluation-harness."""

from typing import Any

from launcher.report.curves import is_number
from launcher.report.facts import RunFacts, mapping
from launcher.report.page import Section, Table
from launcher.run.events.launching import TasksEvaluated


def tasks(facts: RunFacts) -> Section | None:
    """The newest scores of each task, chat or not, and weights; None without any."""
    newest: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    overlaps: dict[str, tuple[Any, ...]] = {}
    for event in facts.of(TasksEvaluated):
        what = event.checkpoint or "finished model"
        how = "chat template" if event.chat else "plain"
        for one in map(mapping, event.scores):
            key = (one.get("task"), one.get("metric"), one.get("filter"), what, how)
            newest[key] = (*key, *(_figure(one, name) for name in ("tuned", "base")))
        for one in map(mapping, event.tasks):
            overlaps[str(one.get("task"))] = tuple(
                one.get(name) for name in ("task", "rows", "few_shot", "version", "in_training")
            )
    if not newest:
        return None
    scores = Table(
        columns=("task", "metric", "filter", "weights", "prompts", "tuned", "base"),
        rows=list(newest.values()),
        sortable=True,
    )
    documents = Table(
        columns=("task", "documents", "few-shot", "version", "in the training data"),
        rows=list(overlaps.values()),
        note="In the training data: documents that share 13 consecutive words with a training row.",
    )
    return Section(id="tasks", title="Tasks", tables=[("Scores", scores), ("Documents", documents)])


def _figure(one: Any, name: str) -> str | None:
    """The value with its standard error."""
    value, error = one.get(name), one.get(f"{name}_stderr")
    if not is_number(value):
        return None
    return f"{value:.4f} ± {error:.4f}" if is_number(error) else f"{value:.4f}"
