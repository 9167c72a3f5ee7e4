"""Plans against the lifetimes of tensors of the same runs on a fake CUDA device, on which no kernel runs."""

from collections.abc import Callable

import pytest

from tests.fakecuda.cases import FULL, QUICK, Case
from tests.fakecuda.hold import Held

pytestmark = pytest.mark.train


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name.replace(" ", "-"))
def test_the_plan_is_what_lifetimes_say(held: Callable[[Case], Held], case: Case):
    found = held(case)
    assert found.error is None, found.found
    assert found.met, f"plan {found.planned}, seen {found.seen:.3f} GiB: {found.off:+.1%}"


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name.replace(" ", "-"))
def test_a_device_of_the_planned_size_is_enough_and_most_of_it_is_needed(
    held: Callable[[Case], Held], case: Case
):
    """With segments that grow, as a run has them, and with fixed ones."""
    found = held(case)
    assert found.error is None, found.found
    assert found.fixed.off >= 0
    assert 0 <= found.grown.planned - found.grown.needed <= 0.5


@pytest.mark.long
@pytest.mark.parametrize("case", FULL, ids=lambda case: case.name.replace(" ", "-"))
def test_the_plan_of_a_whole_model_is_what_lifetimes_say(held: Callable[[Case], Held], case: Case):
    found = held(case)
    assert found.error is None, found.found
    assert found.met, f"plan {found.planned}, seen {found.seen:.3f} GiB: {found.off:+.1%}"
