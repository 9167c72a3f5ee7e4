"""Events about the results of the training, which rank 0 writes: evaluations, sample answers and the export."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.run.events.base import Event


class Evaluated(Event):
    """The evaluation data was evaluated.

    Written by: rank 0.
    """

    when: str
    """before, during or after training."""
    step: int
    """Steps that are done."""
    eval_loss: float
    """Mean loss on the evaluation data."""
    perplexity: float | None = None
    """e to that loss; None for methods whose loss is not one of next tokens."""


class Classified(Event):
    """A classifier sorted the evaluation rows into classes.

    Written by: rank 0, with each evaluation.
    """

    step: int
    """Steps that are done."""
    rows: int
    """Evaluation rows."""
    accuracy: float
    """Share of the rows whose classes are all right."""
    macro_f1: float
    """Mean F1 over the classes that occur in the rows or in the answers."""
    calibration_error: float
    """Mean distance of confidence and accuracy over ten bins of the confidence, weighted by their rows."""
    classes: Sequence[str]
    """The names of the classes, by their numbers."""
    multi_label: bool = False
    """Whether a row can have several classes."""
    micro_f1: float | None = None
    """F1 over all decisions; None with one class to a row."""
    by_class: Sequence[Mapping[str, Any]] = ()
    """label, rows, answered, right, precision, recall and f1 of each class."""
    confusion: Sequence[Sequence[int]] = ()
    """Class, answered class and number of rows, for all pairs that occur; empty with several classes to a row."""
    bins: Sequence[Sequence[float]] = ()
    """Mean confidence, share that is right, and number of decisions of each bin of the confidence."""


class Sample(Event):
    """The model answered trainer.sample_prompt.

    Written by: rank 0.
    """

    when: str
    """before or after training."""
    prompt: str
    """The question."""
    answer: str
    """The model's answer, at most 64 tokens, decoded greedily."""


class General(Event):
    """The perplexity on general text was measured.

    Written by: rank 0, for the plugin forgetting_guard.
    """

    when: str
    """before, during or after training."""
    step: int
    """Steps that are done."""
    perplexity: float
    """e to the mean loss on the general text."""
    increase: float
    """The perplexity as a multiple of that before training."""


class Exported(Event):
    """The result is written and was read back.

    Written by: rank 0.
    """

    path: str
    """Its folder."""
    step: int
    """Steps that were trained."""
    verified: str | None = None
    """logits: it was loaded again and its logits compared; tensors: every tensor was read back; failed: the check failed, and
    the export was kept."""
    difference: float | None = None
    """The largest difference of its logits from the trained model's, relative to their size."""
    tolerance: float | None = None
    """The permitted difference."""
    why: str | None = None
    """Why the check failed."""
    data: Sequence[Mapping[str, Any]] | None = None
    """use, path and sha256 of every file of training and evaluation data."""
