"""The classes that a run learns to tell apart, as decided before the queue: their names, their order and their weights."""

from launcher.config import Config
from launcher.errors import PlanError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.methods.registry import find_method
from launcher.plan.facts import Facts


@frozen_dataclass
class Classes:
    """The outputs of the head of a classifier."""

    names: tuple[str, ...]
    """One name for each output, in their order. The export's config.json has them as id2label and label2id."""
    weights: tuple[float, ...] | None
    """Weight of each class in the loss (trainer.class_weight); None weights all rows equally. With multi_label it is the weight
    of the rows that have the class, and those without it have weight 1."""
    multi_label: bool
    """Whether a row can have several classes or none; each output is then a yes or no of its own."""


def make_classes(config: Config, facts: Facts) -> Classes | None:
    """The classes of the run; None for a method that does not classify, and before the data is read."""
    trainer = config.trainer
    if not find_method(trainer.kind).classifies or not facts.classes:
        return None
    multi = bool(trainer.multi_label)
    weights = None
    if trainer.class_weight == "balanced":
        if not facts.classified_rows:
            raise PlanError(
                "trainer.class_weight=balanced needs the rows of each class, and the data is not read before the job starts; "
                "use trainer.class_weight=null, or a file with data.check=errors"
            )
        weights = balanced(tuple(facts.classes.values()), facts.classified_rows, multi_label=multi)
    return Classes(names=tuple(facts.classes), weights=weights, multi_label=multi)


def balanced(counts: tuple[int, ...], rows: int, *, multi_label: bool) -> tuple[float, ...]:
    """The weight of each class that makes all classes count equally; 1 for a class without rows.

    One class for each row: rows / (classes * rows of the class), so that the mean weight of a row is 1. Several: rows without
    the class over rows with it, for the binary loss of each class.
    Source: King and Zeng, Logistic Regression in Rare Events Data (Political Analysis 9(2), 2001), section 4; torch's
    BCEWithLogitsLoss, pos_weight.
    """
    used = sum(1 for count in counts if count)
    return tuple(
        1.0
        if not count or (multi_label and count == rows)
        else round((rows - count) / count if multi_label else rows / (used * count), 6)
        for count in counts
    )
