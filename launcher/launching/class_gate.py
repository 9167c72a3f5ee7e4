"""The classes of a classifier, fixed before a run is queued: those of its training rows, or those that trainer.labels names."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from launcher.config import Config
from launcher.errors import ConfigError, DataError
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan

_LISTED = 12


def count_classes(config: Config, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """`classes`, the number of training rows by class name, and `classified_rows`, their sum; empty for another method.

    DataError with the place of a row whose label is not a class of the run, or of one with several classes if the run sorts
    each row into one. ConfigError if the rows are not read before the job and trainer.labels is not set.
    """
    trainer = config.trainer
    if not find_method(trainer.kind).classifies:
        return {}
    read = [report["classes"] for report in reports if report.get("classes")]
    if len(read) < max(len(reports), 1):
        if trainer.labels is None:
            raise ConfigError(
                "trainer.labels=null takes the classes from the training rows, and these are not read before the job starts "
                "(data on a hub, or data.check=off); name the classes: trainer.labels=[...]"
            )
        return {"classes": dict.fromkeys(trainer.labels, 0), "classified_rows": 0}
    weights = [source.weight for source in config.data.sources] or [1.0]
    counts, rows = Counter[str](), 0.0
    for weight, classes in zip(weights, read, strict=True):
        rows += weight * classes["rows"]
        for one in classes["labels"]:
            counts[one["label"]] += weight * one["rows"]
    names = list(trainer.labels) if trainer.labels is not None else sorted(counts)
    for use, classes in _each(reports):
        _check_names(config, use, classes, names)
    if len(names) < 2 and not trainer.multi_label:
        raise DataError(
            f"{reports[0]['path']}: all rows have label {names[0]!r}, and a classifier needs at least two classes; add rows of "
            "other classes"
        )
    return {"classes": {name: round(counts[name]) for name in names}, "classified_rows": round(rows)}


def _each(reports: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The counts of every training file and of the evaluation file."""
    for report in reports:
        yield "training", report["classes"]
    for report in reports[:1]:
        evaluation: dict[str, Any] = report.get("eval") or {}
        if evaluation.get("classes"):
            yield "evaluation", evaluation["classes"]


def _check_names(config: Config, use: str, classes: dict[str, Any], names: list[str]) -> None:
    for one in classes["labels"]:
        if one["label"] not in names:
            raise DataError(_unknown(config, use, one, names))
    if classes["several"] and not config.trainer.multi_label:
        raise DataError(
            f"{classes['first_several']}: the row has several classes or none, as {classes['several']:,} rows have; set "
            "trainer.multi_label=true, or give each row one label"
        )


def _unknown(config: Config, use: str, one: dict[str, Any], names: list[str]) -> str:
    known = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    said = f"{one['first']}: label {one['label']!r} ({one['rows']:,} {use} rows) is not one of"
    if config.trainer.labels is not None:
        return f"{said} trainer.labels=[{known}]; add it there, or correct the rows"
    return (
        f"{said} the classes of the training rows ({known}); add training rows of it, or take these rows out"
    )


def class_note(plan: LaunchPlan) -> list[str]:
    """A sentence with the classes of a run, their rows and their weights; none for another method."""
    classes, counts = plan.classes, plan.facts.classes
    if classes is None:
        return []
    weights = classes.weights or (None,) * len(classes.names)
    said = [
        f"{name} ({counts[name]:,} rows{'' if weight is None else f', weight {weight:.3g}'})"
        for name, weight in zip(classes.names, weights, strict=True)
    ]
    more = f" and {len(said) - _LISTED:,} more" if len(said) > _LISTED else ""
    how = "each row has none, one or several of" if classes.multi_label else "each row has one of"
    return [f"{how} {len(said):,} classes: {', '.join(said[:_LISTED])}{more}"]
