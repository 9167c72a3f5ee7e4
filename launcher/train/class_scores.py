"""How well a classifier sorts rows into classes: accuracy, F1, confusion and calibration, from its logits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from launcher.data.mask import IGNORED
from launcher.plan.classes import Classes

BINS = 10
"""Bins of equal width of the confidence, for the calibration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """What an evaluation of a classifier found."""

    rows: int
    loss: float
    """Mean over the rows, with the weights of the classes, as in training."""
    accuracy: float
    """Share of the rows whose classes are all right."""
    macro_f1: float
    """Mean F1 over the classes that occur in the rows or in the answers."""
    micro_f1: float | None
    """F1 over all decisions, for several classes to a row; with one class it would be the accuracy."""
    calibration_error: float
    """Mean distance of confidence and accuracy over the bins of the confidence, weighted by their rows."""
    by_class: tuple[dict[str, Any], ...]
    """label, rows, answered and right of each class, with its precision, recall and f1 (None without a row or an answer)."""
    confusion: tuple[tuple[int, int, int], ...]
    """(class, answered class, rows) for all pairs that occur, by their numbers; empty for several classes to a row."""
    bins: tuple[tuple[float, float, int], ...]
    """(mean confidence, share that is right, decisions) of each bin that is not empty."""

    @property
    def figures(self) -> dict[str, float]:
        """The figures that a log line has, by their names."""
        found = {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "micro_f1": self.micro_f1,
            "calibration_error": self.calibration_error,
        }
        return {name: value for name, value in found.items() if value is not None}


def total_loss(logits: torch.Tensor, labels: torch.Tensor, classes: Classes) -> torch.Tensor:
    """The sum of the losses of the rows. `logits`: [rows, classes] in fp32; `labels`: [rows] numbers of classes, or
    [rows, classes] of 0 and 1 with several classes to a row; rows of -100 do not count.

    The loss of a row with several classes is the mean of the binary losses of all classes.
    """
    weights = None if classes.weights is None else torch.tensor(classes.weights, device=logits.device)
    if not classes.multi_label:
        each = cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
        return (each if weights is None else each * weights[labels.clamp(min=0)]).sum()
    kept = labels[:, 0] != IGNORED
    each = binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0).to(logits.dtype), pos_weight=weights, reduction="none"
    )
    return (each.mean(-1) * kept).sum()


def count_rows(labels: torch.Tensor) -> torch.Tensor:
    """Rows that count: those whose labels are not -100."""
    return ((labels if labels.ndim == 1 else labels[:, 0]) != IGNORED).sum()


def score(logits: torch.Tensor, labels: torch.Tensor, classes: Classes) -> ClassScores:
    """The scores of rows in the form of `total_loss`."""
    kept = (labels if labels.ndim == 1 else labels[:, 0]) != IGNORED
    logits, labels = logits[kept].float(), labels[kept]
    loss = float(total_loss(logits, labels, classes)) / max(len(labels), 1)
    if classes.multi_label:
        chances = logits.sigmoid().numpy()
        wanted = labels.numpy().astype(bool)
        answered = chances >= 0.5
        confidence, right = np.maximum(chances, 1 - chances).ravel(), (answered == wanted).ravel()
        confusion: tuple[tuple[int, int, int], ...] = ()
    else:
        chances = logits.softmax(-1).numpy()
        best, truth = chances.argmax(-1), labels.numpy()
        wanted, answered = (np.eye(len(classes.names), dtype=bool)[one] for one in (truth, best))
        confidence, right = chances.max(-1), best == truth
        pairs, counts = np.unique(np.stack([truth, best], 1), axis=0, return_counts=True)
        confusion = tuple((int(a), int(b), int(n)) for (a, b), n in zip(pairs, counts, strict=True))
    by_class = tuple(_one(name, wanted[:, at], answered[:, at]) for at, name in enumerate(classes.names))
    f1s = [one["f1"] for one in by_class if one["f1"] is not None]
    hits, decided = int((wanted & answered).sum()), int(wanted.sum() + answered.sum())
    bins = _bins(confidence, right)
    total = sum(number for *_, number in bins)
    return ClassScores(
        rows=len(labels),
        loss=loss,
        accuracy=float((wanted == answered).all(-1).mean()),
        macro_f1=float(np.mean(f1s)) if f1s else 0.0,
        micro_f1=(2 * hits / decided if decided else 0.0) if classes.multi_label else None,
        calibration_error=sum(abs(sure - share) * number for sure, share, number in bins) / max(total, 1),
        by_class=by_class,
        confusion=confusion,
        bins=bins,
    )


def _one(name: str, wanted: Any, answered: Any) -> dict[str, Any]:
    """The counts of one class; its F1 is None if it is neither in the rows nor in the answers."""
    rows, said, right = int(wanted.sum()), int(answered.sum()), int((wanted & answered).sum())
    return {
        "label": name,
        "rows": rows,
        "answered": said,
        "right": right,
        "precision": right / said if said else None,
        "recall": right / rows if rows else None,
        "f1": 2 * right / (rows + said) if rows + said else None,
    }


def _bins(confidence: Any, right: Any) -> tuple[tuple[float, float, int], ...]:
    """The bins that are not empty. Source: Guo et al. (arXiv 1706.04599), section 2, expected calibration error."""
    at = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = [(confidence[at == one], right[at == one]) for one in range(BINS)]
    return tuple((float(sure.mean()), float(hit.mean()), len(sure)) for sure, hit in found if len(sure))
