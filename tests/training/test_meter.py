"""What ranks measure of themselves."""

import pytest

from tests.support.runs import Finished

pytestmark = pytest.mark.train


def test_a_run_measures_its_step_and_every_ranks_memory_early_and_at_its_end(trained):
    run: Finished = trained("resources.gpus_per_node=2", "batch.micro_batch_size=1", "trainer.max_steps=12")
    early, last = run.events("measured")
    assert (early["step"], last["step"]) == (10, 12)
    assert last["step_s"] > 0
    assert len(last["host_gib_by_rank"]) == 2 and min(last["host_gib_by_rank"]) > 0.1
    assert last.get("peak_gib") is None  # no GPU
    assert 0 < early["link_gb_s"] < 1000


def test_one_rank_has_no_links_to_measure(trained):
    (last,) = trained().events("measured")
    assert last.get("link_gb_s") is None
    assert len(last["host_gib_by_rank"]) == 1
