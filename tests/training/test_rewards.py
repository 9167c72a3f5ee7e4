"""Reward processes of real ranks: the same losses as within the ranks, and one outcome on all of them for a failure on one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.matrix.cells import Cell, write_data
from tests.matrix.try_cell import plan_in
from tests.support.runs import Finished
from tests.support.warm import Warm

pytestmark = pytest.mark.train

REWARDS = """
import os, time
from matrix_rewards import letters

def shifted(completions, plus, **_):
    return [value + plus for value in letters(completions)]

def hangs_on_rank_1(completions, trainer_state, **_):
    if os.environ["RANK"] == "1" and trainer_state.global_step == 2:
        time.sleep(100)
    return letters(completions)
"""
CELL = Cell("grpo", "lora", False, "ddp", 2)


@pytest.fixture
def planned(tmp_path: Path, cache: Path) -> Callable[..., Finished]:
    """A run of grpo on two ranks with these reward functions, not started."""
    write_data(tmp_path)
    (tmp_path / "hard_rewards.py").write_text(REWARDS)

    def planned(functions: str, *overrides: str) -> Finished:
        typed = ["+experiment=tiny", "cluster=local", f"cache_dir={cache}", *CELL.overrides(tmp_path)]
        code, said = plan_in(tmp_path, [*typed, f"trainer.reward_functions=[{functions}]", *overrides])
        assert code == 0, said
        return Finished(Path(json.loads(said)["run_dir"]))

    return planned


TWO = "{_target_: matrix_rewards.letters},{_target_: hard_rewards.shifted,plus: 0.5}"


def test_processes_give_bitwise_the_losses_and_rewards_of_functions_within_the_ranks(warm: Warm, planned):
    runs = planned(TWO), planned(TWO, "trainer.reward_timeout_s=0")
    for run in runs:
        assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    within = runs[1].metrics()
    for names in ("loss",), ("reward",), ("rewards/letters/mean",), ("rewards/shifted/mean",):
        apart, inside = ([line[name] for line in run.metrics() for name in names] for run in runs)
        assert apart == inside and len(apart) == 4
    assert all(line["rewards_failed"] == 0 for line in runs[0].metrics())
    assert "rewards_failed" not in within[0]


def test_a_function_that_hangs_on_one_rank_costs_its_answers_the_chosen_value_and_is_counted(
    warm: Warm, planned
):
    run = planned(
        "{_target_: hard_rewards.hangs_on_rank_1}",
        "trainer.reward_timeout_s=3",
        "trainer.reward_if_failed=-1",
    )
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    failed = [line["rewards_failed"] for line in run.metrics()]
    assert failed == [0, 0, 2, 0]  # both answers of rank 1
    noted = [
        (event["why"], event["step"], event["answers"], event["function"])
        for event in run.events("reward_failed")
    ]
    assert noted == [("timeout", 2, 2, "hard_rewards.hangs_on_rank_1")]


def test_without_a_chosen_value_all_ranks_end_with_the_same_error(warm: Warm, planned):
    run = planned("{_target_: hard_rewards.hangs_on_rank_1}", "trainer.reward_timeout_s=3")
    assert warm.run(run.path)["codes"] == [3, 3], run.logs()
    errors = {event["error"] for event in run.events("crashed")}
    assert len(errors) == 1 and len(run.events("crashed")) == 2
    assert (
        "hard_rewards.hangs_on_rank_1) ran longer than 1.5 s for answer 1 of 2 on rank 1 after step 2"
        in errors.pop()
    )
    assert len(run.losses) == 2
