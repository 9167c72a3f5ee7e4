"""The plan decides how long a run trains if it knows the rows; otherwise the ranks derive it by the same formulas."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from launcher.errors import NotAsPlanned
from launcher.plan import LaunchPlan
from launcher.plan.length import count_steps, count_warmup_steps
from launcher.plugins.base import Plugin
from launcher.train.length import check_arguments, length_facts, settle_length

BATCH = ("+experiment=llama8b_lora", "batch.global_batch_size=64", "trainer.packing=false")


@dataclass(frozen=True, kw_only=True)
class TenSteps(Plugin):
    """A user's plugin that shortens the run."""

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        return replace(plan, trainer_args={**plan.trainer_args, "max_steps": 10})


def final(made: LaunchPlan) -> tuple:
    return tuple(made.trainer_args[name] for name in ("max_steps", "num_train_epochs", "warmup_steps"))


def test_max_steps_decides_and_the_share_of_warm_up_becomes_steps(plan):
    made = plan(*BATCH, "trainer.max_steps=200", "trainer.warmup_steps=0.1")
    assert (made.length.decided_by, made.length.steps, made.length.warmup_steps) == ("max_steps", 200, 20)
    assert final(made) == (200, 1.0, 20)


def test_counted_rows_decide_where_epochs_are_asked(plan):
    made = plan(*BATCH, "trainer.num_train_epochs=3", "trainer.warmup_steps=0.1", rows=1000)
    assert (made.length.decided_by, made.length.steps) == ("rows", 47)
    assert final(made) == (47, 1.0, 5)
    assert made.time.steps == 47


def test_each_prompt_of_grpo_is_as_many_samples_as_answers_are_drawn_for_it(plan):
    grpo = ("trainer=grpo", "trainer.reward_functions=[{_target_: json.dumps}]", "trainer.num_generations=8")
    assert plan(*BATCH, *grpo, rows=100).length.steps == -(-2 * 100 * 8 // 64)


@pytest.mark.parametrize(
    ("overrides", "known", "why"),
    [(["trainer.packing=true"], {"rows": 1000, "mean_tokens": 300}, "packing"), ([], {}, "not counted")],
)
def test_what_only_the_ranks_can_count_is_left_to_them_and_the_plan_says_so(plan, overrides, known, why):
    made = plan(*BATCH, *overrides, "trainer.num_train_epochs=3", "trainer.warmup_steps=0.1", **known)
    assert (made.length.decided_by, made.length.steps, made.length.warmup_steps) == ("ranks", None, None)
    assert why in made.length.why
    assert final(made) == (-1, 3.0, 0.1)


def test_a_plugin_that_sets_the_steps_decides_them(plan):
    made = plan(*BATCH, f"+plugins.mine._target_={__name__}.TenSteps", rows=1000)
    assert (made.length.decided_by, made.length.steps, made.time.steps) == ("max_steps", 10, 10)


def test_ranks_take_the_planned_length_and_tell_of_other_rows(plan, capsys):
    made = plan(*BATCH, "trainer.num_train_epochs=2", rows=1000)
    args = SimpleNamespace(process_index=0, max_steps=32)
    length = settle_length(made, args, 900)
    assert (length.steps, args.max_steps) == (32, 32)
    said = capsys.readouterr().out
    assert (
        "the planned 32 steps are 2.28 epochs" in said
        and "trainer.max_steps=29 gives the requested epochs" in said
    )
    told = length_facts(made, length, 900)
    assert (told["steps"], told["samples"], told["planned_rows"], told["epochs"]) == (32, 900, 1000, 2.2756)


def test_ranks_derive_a_length_that_the_plan_has_left_to_them(plan, capsys):
    made = plan(*BATCH, "trainer.packing=true", "trainer.num_train_epochs=2", "trainer.warmup_steps=0.1")
    args = SimpleNamespace(process_index=0, max_steps=-1, num_train_epochs=2.0, warmup_steps=0.1)
    assert settle_length(made, args, 640).steps == 20
    assert (args.max_steps, args.num_train_epochs, args.warmup_steps) == (20, 1.0, 2)
    assert capsys.readouterr().out == ""


def test_an_argument_that_is_not_the_planned_one_stops_the_run(plan):
    made = plan(*BATCH, "trainer.max_steps=200")
    args = SimpleNamespace(**made.trainer_args)
    check_arguments(args, made)
    args.learning_rate = 1.0
    with pytest.raises(NotAsPlanned, match=r"the trainer's learning_rate is 1\.0 on this rank and"):
        check_arguments(args, made)


def test_steps_are_all_of_full_size_and_a_share_of_warm_up_is_rounded_up():
    assert (count_steps(640, 64, 1.0), count_steps(641, 64, 1.0), count_steps(1, 64, 0.1)) == (10, 11, 1)
    warm = [
        count_warmup_steps(asked, steps) for asked, steps in ((0.29, 100), (0.03, 33), (5, 100), (0.03, 1))
    ]
    assert warm == [29, 1, 5, 0]
