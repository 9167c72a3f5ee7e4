"""The scores of a classifier, compared with counts made by hand."""

import pytest
import torch

from launcher.plan.classes import Classes, balanced
from launcher.train.class_scores import score, total_loss

THREE = Classes(names=("a", "b", "c"), weights=None, multi_label=False)
SEVERAL = Classes(names=("a", "b"), weights=None, multi_label=True)


def answers(*classes: int, sure: float = 4.0) -> torch.Tensor:
    """Logits that answer these classes."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 3) * sure


def test_accuracy_f1_and_confusion_are_those_of_the_counts():
    found = score(answers(0, 0, 1, 1, 0), torch.tensor([0, 0, 0, 1, 1]), THREE)
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.confusion == ((0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 1))
    a, b, c = found.by_class
    assert (a["rows"], a["answered"], a["right"], a["precision"], a["recall"]) == (3, 3, 2, 2 / 3, 2 / 3)
    assert b["f1"] == pytest.approx(1 / 2) and c["f1"] is None and c["precision"] is None
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)  # a class that does not occur is left out


def test_rows_that_fill_up_a_batch_do_not_count():
    few = score(answers(0, 1), torch.tensor([0, 1]), THREE)
    assert score(answers(0, 1, 2), torch.tensor([0, 1, -100]), THREE) == few
    assert float(total_loss(answers(0, 2).float(), torch.tensor([0, -100]), THREE)) == pytest.approx(few.loss)


def test_an_answer_that_is_always_sure_and_half_right_is_badly_calibrated():
    found = score(answers(0, 0, 0, 0, sure=30.0), torch.tensor([0, 0, 1, 1]), THREE)
    assert found.calibration_error == pytest.approx(0.5, abs=1e-4)
    assert found.bins == ((pytest.approx(1.0), 0.5, 4),)


def test_weights_of_classes_weight_their_rows():
    classes = Classes(names=THREE.names, weights=(2.0, 1.0, 0.5), multi_label=False)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    each = [float(total_loss(logits[at : at + 1], labels[at : at + 1], THREE)) for at in range(4)]
    assert float(total_loss(logits, labels, classes)) == pytest.approx(
        2 * each[0] + each[1] + 0.5 * each[2] + 2 * each[3], rel=1e-5
    )


def test_several_classes_to_a_row_are_each_decided_alone():
    logits = torch.tensor([[3.0, -3.0], [3.0, 3.0], [-3.0, -3.0], [3.0, -3.0]])
    labels = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 1]])
    found = score(logits, labels, SEVERAL)
    assert found.accuracy == pytest.approx(2 / 4)
    assert found.micro_f1 == pytest.approx(2 * 2 / (3 + 4))
    assert found.confusion == () and sum(number for *_, number in found.bins) == 8
    filled = score(torch.cat([logits, logits[:1]]), torch.cat([labels, torch.full((1, 2), -100)]), SEVERAL)
    assert filled == found


def test_balanced_weights_give_all_classes_the_same_sum_and_rows_a_mean_of_1():
    weights = balanced((60, 30, 10), 100, multi_label=False)
    sums = [weight * count for weight, count in zip(weights, (60, 30, 10), strict=True)]
    assert sums == pytest.approx([100 / 3] * 3, rel=1e-4)
    assert balanced((60, 0), 60, multi_label=False) == (1.0, 1.0)
    assert balanced((25, 100, 0), 100, multi_label=True) == (3.0, 1.0, 1.0)
