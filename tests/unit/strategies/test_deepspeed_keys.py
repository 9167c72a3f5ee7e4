"""strategy.deepspeed, and what else of DeepSpeed's file is decided: sizes, overlap, and the offloaded optimizer."""

from typing import Any, get_args

import pytest

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.strategies import make_strategy
from launcher.strategies._deepspeed_keys import _OFFLOAD, _OWNED, TOP, ZERO

ZERO2, ZERO3 = ("+experiment=tiny", "strategy=zero2"), ("+experiment=tiny", "strategy=zero3")
OFFLOADED = (*ZERO2, "strategy.offload_optimizer=true", "plugin=[]")


def test_what_is_passed_on_stands_in_the_file(plan):
    made = plan(
        *ZERO3,
        "strategy.overlap_comm=false",
        "++strategy.deepspeed.wall_clock_breakdown=true",
        "++strategy.deepspeed.zero_optimization.sub_group_size=12345",
        "++strategy.deepspeed.comms_logger={enabled:true}",
    )
    assert made.deepspeed["wall_clock_breakdown"] is True
    assert made.deepspeed["comms_logger"] == {"enabled": True}
    zero = made.deepspeed["zero_optimization"]
    assert (zero["stage"], zero["sub_group_size"], zero["overlap_comm"]) == (3, 12345, False)


def test_the_sizes_of_stage_3_follow_from_the_width_as_upstreams_auto(plan):
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    made = plan(*ZERO3)
    auto = dict.fromkeys(
        ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"), "auto"
    )
    theirs = HfTrainerDeepSpeedConfig({**made.deepspeed, "zero_optimization": {"stage": 3, **auto}})
    width = made.facts.architecture.hidden_size
    model = type("Model", (), {"config": type("Shape", (), {"hidden_size": width})})
    theirs._dtype = None
    arguments = type("Arguments", (), {"get_warmup_steps": lambda self, steps: 0})
    theirs.trainer_config_finalize(arguments(), model, 10)
    assert {name: made.deepspeed["zero_optimization"][name] for name in auto} == {
        name: theirs.config["zero_optimization"][name] for name in auto
    }


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "train_batch_size=4",
            "strategy.deepspeed.train_batch_size cannot be set: set batch.global_batch_size instead",
        ),
        ("zero_optimization.stage=3", "cannot be set: set strategy=zero1, zero2 or zero3 instead"),
        ("zero_optimization.offload_optimizer.device=cpu", "offload_optimizer has no effect with"),
        ("bf16.enabled=true", "strategy.deepspeed.bf16 cannot be set: set trainer.precision instead"),
        (
            "zero_optimisation={}",
            "unknown key of DeepSpeed 'zero_optimisation'; did you mean zero_optimization?",
        ),
        ("zero_optimization.sub_group_sice=1", "did you mean sub_group_size?"),
        ("zero_optimization.sub_group_size=many", "sub_group_size=many must be a whole number"),
        ("zero_optimization=3", "strategy.deepspeed.zero_optimization=3 must be keys with values"),
        ("steps_per_print=true", "strategy.deepspeed.steps_per_print=True must be a whole number"),
    ],
)
def test_every_other_key_is_answered_in_one_line(plan, typed: str, said: str):
    with pytest.raises(PlanError) as refused:
        plan(*ZERO2, f"++strategy.deepspeed.{typed}")
    assert said in str(refused.value)


@pytest.mark.parametrize("typed", ["strategy.overlap_comm=true", "++strategy.deepspeed.steps_per_print=1"])
def test_a_strategy_without_deepspeed_refuses_its_keys(plan, typed: str):
    with pytest.raises(PlanError, match="is for DeepSpeed, which strategy=fsdp2 does not use"):
        plan("+experiment=tiny", "strategy=fsdp2", typed)


def test_the_planner_chooses_among_the_strategies_that_take_a_key_of_deepspeed(plan):
    free = ("+experiment=llama8b_lora", "strategy=auto", "cluster.gpu_memory_gib=80")
    assert plan(*free).deepspeed is None
    made = plan(*free, "strategy.overlap_comm=false")
    assert made.deepspeed["zero_optimization"]["overlap_comm"] is False


@pytest.mark.parametrize(("optim", "own"), [("sgd", True), ("rmsprop", True), ("adamw_torch", False)])
def test_an_offloaded_optimizer_is_the_one_that_is_requested(plan, optim: str, own: bool):
    """accelerate replaces an optimizer on the host, unless the file says zero_force_ds_cpu_optimizer=false."""
    made = plan(*OFFLOADED, f"trainer.optim={optim}")
    assert made.deepspeed.get("zero_force_ds_cpu_optimizer", True) is not own


@pytest.mark.parametrize("optim", ["adamw_8bit", "adafactor", "lion_8bit"])
def test_an_optimizer_that_cannot_be_offloaded_is_refused(plan, optim: str):
    with pytest.raises(
        PlanError, match=r"accelerate 1\.15 would run DeepSpeed's CPU Adam .* use trainer\.optim=adamw_torch"
    ):
        plan(*OFFLOADED, f"trainer.optim={optim}")


def test_the_names_and_types_are_those_of_deepspeed():
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.runtime.zero.offload_config import (
        DeepSpeedZeroOffloadOptimizerConfig,
        DeepSpeedZeroOffloadParamConfig,
    )

    fields: dict[str, Any] = {
        field.alias or name: field.annotation for name, field in DeepSpeedZeroConfig.model_fields.items()
    }
    assert not set(ZERO) - set(fields)
    plain = {name: kind for name, kind in ZERO.items() if kind is not dict}
    assert not [name for name, kind in plain.items() if kind not in (fields[name], *get_args(fields[name]))]
    owned = {name.split(".")[1] for name in _OWNED if name.count(".") == 1}
    old = {"stage3_gather_fp16_weights_on_model_save", "cpu_offload_use_pin_memory"}
    assert not set(fields) - set(ZERO) - owned - old
    below = {*DeepSpeedZeroOffloadOptimizerConfig.model_fields, *DeepSpeedZeroOffloadParamConfig.model_fields}
    assert set(_OFFLOAD) == below - {"device"}
    assert not set(TOP) & set(_OWNED)


def test_a_strategy_of_a_plan_is_made_again_without_them():
    config = StrategyConfig(
        engine="deepspeed", zero_stage=2, overlap_comm=False, deepspeed={"dump_state": True}
    )
    assert make_strategy(config) == make_strategy(StrategyConfig(engine="deepspeed", zero_stage=2))
