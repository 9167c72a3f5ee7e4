"""The time limit of reward functions, and the reward of an answer that they could not judge."""

import pytest

from launcher.errors import PlanError
from launcher.methods.grpo import reward_timeout_s

GRPO = ("trainer=grpo", "batch.global_batch_size=8", "trainer.reward_functions=[{_target_: json.dumps}]")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("trainer.reward_timeout_s=-1", "trainer.reward_timeout_s=-1.0 must be a number of at least 0"),
        ("trainer.reward_if_failed=nan", "trainer.reward_if_failed=nan must be a finite number"),
        (
            "trainer.reward_timeout_s=30",
            "trainer.reward_timeout_s=30 lets the ranks wait up to 90 s for rewards, but they count as hung after "
            "resources.hang_timeout_s=60; use resources.hang_timeout_s=90, or trainer.reward_timeout_s=20",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused(plan, typed: str, said: str):
    with pytest.raises(PlanError) as refused:
        plan("+experiment=tiny", *GRPO, typed)
    assert said in str(refused.value)


def test_the_time_limit_follows_the_limit_of_a_hang_and_both_can_be_raised_together(plan, compose):
    assert reward_timeout_s(compose("+experiment=tiny", *GRPO)) == 20
    longer = (*GRPO, "data.eval_path=null", "trainer.reward_timeout_s=60", "resources.hang_timeout_s=180")
    assert plan("+experiment=tiny", *longer).hang_timeout_s == 180
