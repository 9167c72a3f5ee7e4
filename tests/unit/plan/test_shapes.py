"""Which shape a run takes, as a pure function of what the plan and the queue say."""

import pytest

from launcher.errors import PlanError
from launcher.plan.shapes import Offer, Shape, choose, derive_shapes

HOUR = 3600.0
OWN = Shape(nodes=1, gpus_per_node=8)


def offer(nodes: int, starts_h: float | None, takes_h: float | None, **more) -> Offer:
    return Offer(
        shape=Shape(nodes=nodes, gpus_per_node=8),
        starts_in_s=None if starts_h is None else starts_h * HOUR,
        takes_s=None if takes_h is None else takes_h * HOUR,
        **{"starts_how": "asked", **more},
    )


def test_the_shape_that_finishes_first_is_taken_and_not_the_one_that_starts_first_or_runs_shortest():
    assert choose([offer(1, 0, 9), offer(2, 1, 5), offer(4, 6, 3)], OWN).shape.nodes == 2


def test_of_equal_finishes_the_one_with_the_fewest_gpu_hours_is_taken():
    equal = [offer(4, 0, 4, gpu_hours=128.0), offer(2, 0, 4, gpu_hours=64.0)]
    assert choose(equal, OWN).shape.nodes == 2


def test_a_refused_shape_is_not_taken_however_early_it_would_finish():
    assert choose([offer(1, 0, 1, refused="too small"), offer(2, 5, 5)], OWN).shape.nodes == 2


def test_a_shape_without_a_start_is_left_out_of_the_comparison_and_that_is_reported():
    found = choose([offer(1, 3, 3), offer(2, None, 1)], OWN)
    assert found.shape.nodes == 1 and "1 shape without a known finish time not compared" in found.why


@pytest.mark.parametrize(
    ("starts", "takes", "told"),
    [(None, 2, "toy does not say"), (1, None, "time of the run is not estimated")],
)
def test_without_any_known_finish_the_shape_of_the_configuration_is_taken_and_why_is_reported(
    starts: float | None, takes: float | None, told: str
):
    offers = [offer(nodes, starts, takes, starts_how="toy does not say when") for nodes in (1, 2)]
    found = choose(offers, Shape(nodes=2, gpus_per_node=8))
    assert found.shape.nodes == 2 and told in found.why


def test_where_no_finish_is_known_and_the_configured_shape_is_not_listed_the_first_that_can_be_taken_is():
    offers = [offer(1, None, 2, refused="too small"), *(offer(nodes, None, 2) for nodes in (2, 4))]
    found = choose(offers, OWN)
    assert found.shape.nodes == 2 and "no finish time is known" in found.why


def test_the_refusal_of_every_shape_is_one_line_with_the_first_reason():
    with pytest.raises(PlanError, match=r"1 x 8: too small; the table shows the reasons of the 1 others"):
        choose([offer(1, 0, 1, refused="too small"), offer(2, 0, 1, refused="too large")], OWN)
    with pytest.raises(PlanError, match=r"resources\.shapes"):
        choose([], OWN)


@pytest.mark.parametrize(
    ("gpus", "nodes", "batch", "expected"),
    [
        (4, 4, 64, ["1 x 1", "1 x 2", "1 x 4", "2 x 4", "4 x 4"]),
        (4, 3, 64, ["1 x 1", "1 x 2", "1 x 4", "2 x 4"]),
        (6, 2, 64, ["1 x 1", "1 x 2", "1 x 4", "1 x 6", "2 x 6"]),
        (8, None, 32, ["1 x 1", "1 x 2", "1 x 4", "1 x 8", "2 x 8", "4 x 8"]),
        (8, 100, 1, ["1 x 1"]),
    ],
)
def test_shapes_are_powers_of_two_up_to_the_limits_of_the_cluster_and_the_batch(
    gpus: int, nodes: int | None, batch: int, expected: list[str]
):
    assert [str(shape) for shape in derive_shapes(gpus, nodes, batch)] == expected
