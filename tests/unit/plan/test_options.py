"""Options that cannot work are refused in the plan, in one line that says the way out."""

import pytest

from launcher.errors import PlanError
from launcher.plan.combine import notes

FULL = ("+experiment=llama8b_full_zero3", "strategy=fsdp2")


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (("trainer.optim=adamw_tork",), r"unknown optimizer 'adamw_tork'; did you mean adamw_torch\?"),
        (("trainer.lr_scheduler_type=cosin",), r"unknown schedule 'cosin'; did you mean cosine\?"),
        (("trainer.lr_scheduler_type=warmup_stable_decay",), "needs num_decay_steps; set"),
        (("trainer.lr_scheduler_type=reduce_lr_on_plateau",), "depends on a metric"),
        (("model.attn_implementation=flash",), "unknown attention kernel 'flash'"),
        (("model.attn_implementation=flash_attention_2", "trainer.precision=fp32"), "computes in 16 bits"),
        (("strategy=zero3", "trainer.torch_compile=true"), "does not work with strategy=zero3"),
        (("trainer.optim=sgd", "plugin=[sharded_checkpoint]"), r"\(rule 10 of"),
        (
            ("trainer.optim=adamw_8bit", "plugin=[sharded_checkpoint]", "strategy=zero2"),
            r"\(rule 14 of",
        ),
    ],
)
def test_an_option_that_cannot_work_is_refused(plan, overrides: tuple[str, ...], why: str):
    with pytest.raises(PlanError, match=why) as refused:
        plan(*FULL, *overrides)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "option", ["model.attn_implementation=flash_attention_3", "model.attn_implementation=flex"]
)
def test_an_attention_kernel_of_gpus_is_refused_on_a_cpu(plan, option: str):
    with pytest.raises(PlanError, match=r"on a CPU does not work|no training kernel for a CPU; use sdpa"):
        plan("+experiment=tiny", option, device="cpu")


def test_activations_are_not_offloaded_from_a_cpu(plan):
    with pytest.raises(PlanError, match="this run is on a CPU"):
        plan("+experiment=tiny", "trainer.activation_offloading=true", device="cpu")


def test_options_reach_the_trainer(plan):
    args = plan(
        *FULL, "trainer.torch_compile=true", "trainer.activation_offloading=true",
        "trainer.lr_scheduler_type=cosine_with_min_lr", "+trainer.lr_scheduler_kwargs.min_lr_rate=0.1",
    ).trainer_args  # fmt: skip
    assert args["torch_compile"] and args["activation_offloading"]
    assert args["lr_scheduler_kwargs"] == {"min_lr_rate": 0.1}


def test_packing_is_on_by_default_and_a_gpu_without_flash_attention_is_reported(compose, plan):
    config = compose(*FULL)
    assert config.trainer.packing
    assert "flash_attention_2" in notes(config, plan(*FULL))[0]
    flash = (*FULL, "model.attn_implementation=flash_attention_2")
    assert notes(compose(*flash), plan(*flash)) == []


def test_kernels_of_the_hub_are_let_through(plan):
    assert plan(*FULL, "model.attn_implementation=kernels-community/flash-attn3")
