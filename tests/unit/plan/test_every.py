"""Evaluations and saves at a number of steps, a share of the run, or once per epoch."""

from types import SimpleNamespace

import pytest

from launcher.errors import ConfigError, PlanError
from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.train.length import settle_length, settle_saves
from launcher.train.methods.parts import make_arguments

RUN = (
    "+experiment=llama8b_lora",
    "batch.global_batch_size=64",
    "trainer.packing=false",
    "data.eval_path=eval.jsonl",
)
SAVES = ("plugin=[lora,sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=")


@pytest.mark.parametrize(
    ("asked", "steps"), [("7", 7), ("100.0", 100), ("0.1", 5), ("0.11", 6), ("0.001", 1), ("epoch", 16)]
)
def test_an_interval_becomes_whole_steps_where_the_rows_are_counted(plan, asked: str, steps: int):
    made = plan(
        *RUN,
        "trainer.num_train_epochs=3",
        f"trainer.eval_steps={asked}",
        SAVES[0],
        f"{SAVES[1]}{asked}",
        rows=1000,
    )
    assert (made.length.steps, made.length.epoch_steps) == (47, 16)
    assert (made.trainer_args["eval_steps"], made.save.save_steps) == (steps, steps)
    assert (made.length.eval_every, made.save.save_every) == (None, None)


@pytest.mark.parametrize(
    ("more", "asked", "steps"),
    [
        (("trainer.num_train_epochs=2",), "epoch", 10),
        (("trainer.num_train_epochs=2",), "0.25", 5),
        (("trainer.max_steps=100",), "epoch", 10),
    ],
)
def test_the_ranks_derive_it_where_packing_decides_the_rows(plan, more, asked: str, steps: int):
    made: LaunchPlan = plan(
        *RUN,
        *more,
        "trainer.packing=true",
        f"trainer.eval_steps={asked}",
        SAVES[0],
        f"{SAVES[1]}{asked}",
        rows=1000,
    )
    assert made.trainer_args["eval_strategy"] == "steps"
    assert "eval_steps" not in made.trainer_args
    assert made.save is not None
    assert made.save.save_steps == 0
    args = SimpleNamespace(process_index=0)
    length = settle_length(made, args, 640)
    assert (args.eval_steps, settle_saves(made.save, length).save_steps) == (steps, steps)


@pytest.mark.parametrize("asked", ["0", "-1", "1.5", "ten", "true", "[1]", "epochs", "nan"])
def test_another_interval_is_refused_with_the_rule(plan, asked: str):
    with pytest.raises(
        PlanError, match=r"trainer\.eval_steps=.* must be a whole number of steps of at least 1, a share"
    ):
        plan(*RUN, f"trainer.eval_steps={asked}")
    with pytest.raises(ConfigError, match=r"save_steps=.* must be a whole number of steps .*, or auto"):
        plan(*RUN, SAVES[0], f"{SAVES[1]}{asked}")


def test_the_best_checkpoints_are_kept_where_each_epoch_is_evaluated_and_saved(plan):
    best = ("trainer.packing=true", SAVES[0], "plugins.sharded_checkpoint.keep_best=1", f"{SAVES[1]}epoch")
    assert plan(*RUN, *best, "trainer.eval_steps=epoch").save.keep_best == 1
    with pytest.raises(PlanError, match="keep_best=1 needs an evaluation at every saved step"):
        plan(*RUN, *best, "trainer.eval_steps=0.5")


SET = {
    "trainer.adam_beta1": ("adam_beta1", 0.8), "trainer.adam_beta2": ("adam_beta2", 0.95),
    "trainer.adam_epsilon": ("adam_epsilon", 1e-6), "data.num_workers": ("dataloader_num_workers", 3),
    "data.prefetch_factor": ("dataloader_prefetch_factor", 4), "resources.ddp_timeout_s": ("ddp_timeout", 77),
    "batch.eval_micro_batch_size": ("per_device_eval_batch_size", 5), "trainer.eval_steps": ("eval_steps", 9),
    "trainer.max_grad_norm": ("max_grad_norm", 0.3), "trainer.weight_decay": ("weight_decay", 0.01),
}  # fmt: skip


def test_what_is_set_arrives_in_transformers_own_arguments(plan, tmp_path):
    typed = [f"{key}={value}" for key, (_, value) in SET.items()]
    made = plan("+experiment=tiny", "data.eval_path=eval.jsonl", *typed, device="cpu")
    args = make_arguments(RunDir(tmp_path), made)
    assert {name: getattr(args, name) for name, _ in SET.values()} == dict(SET.values())
    assert args.ddp_timeout_delta.total_seconds() == 77


def test_the_defaults_of_these_keys_are_those_of_transformers(plan, tmp_path):
    from transformers import TrainingArguments

    args = make_arguments(RunDir(tmp_path), plan("+experiment=tiny", device="cpu"))
    theirs = TrainingArguments(str(tmp_path), use_cpu=True)
    for name in ("adam_beta1", "adam_beta2", "adam_epsilon", "dataloader_num_workers", "ddp_timeout"):
        assert getattr(args, name) == getattr(theirs, name)


@pytest.mark.parametrize(
    "typed",
    [
        "batch.eval_micro_batch_size=0", "data.num_workers=-1", "data.prefetch_factor=2", "resources.ddp_timeout_s=0",
        "trainer.adam_beta1=1", "trainer.adam_beta2=-0.1", "trainer.adam_epsilon=0",
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_with_its_key(plan, typed: str):
    with pytest.raises(PlanError, match=typed.replace(".", r"\.")):
        plan("+experiment=tiny", typed)
