"""Muon: which weights it trains, its state in checkpoints, and what a run says of it."""

from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from launcher.plan.fit import make_load
from launcher.plan.memory.optimizer import state_bytes
from launcher.run import RunDir
from launcher.train.muon import make_muon
from tests.support import preloaded
from tests.support.runs import environment
from tests.training.resuming import TWO, planned

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 64,
}  # fmt: skip


class Arguments:
    learning_rate, weight_decay, adam_beta1, adam_beta2, adam_epsilon = 1e-3, 0.1, 0.9, 0.999, 1e-8


def trained_by_muon(model: Any, decayed: list[str]) -> dict[str, tuple[bool, float]]:
    """Name -> (whether Muon trains it, its weight decay)."""
    made = make_muon(model, decayed, Arguments)
    of = {
        id(one): (group["matrices"], group["weight_decay"])
        for group in made.param_groups
        for one in group["params"]
    }
    return {name: of[id(one)] for name, one in model.named_parameters()}


def test_muon_trains_the_matrices_of_hidden_layers_and_adamw_the_rest():
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    found = trained_by_muon(model, ["model.layers.0.mlp.up_proj.weight"])
    others = {name for name, (muon, _) in found.items() if not muon}
    assert others == {
        "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
        "model.layers.0.post_attention_layernorm.weight",
    }  # fmt: skip
    assert found["model.layers.0.mlp.up_proj.weight"] == (True, 0.1)
    assert found["model.layers.0.mlp.down_proj.weight"] == (True, 0.0)


def test_stacked_experts_are_trained_by_adamw():
    found = trained_by_muon(MixtralForCausalLM(MixtralConfig(**SHAPE, num_local_experts=4)), [])
    assert not any(muon for name, (muon, _) in found.items() if ".experts." in name)
    assert found["model.layers.0.self_attn.q_proj.weight"][0]


def test_its_state_has_the_bytes_of_the_plan(compose, plan):
    overrides = ("+experiment=tiny", "plugin=[]", "trainer.optim=muon")
    load = make_load(compose(*overrides), plan(*overrides, device="cuda"))
    assert load is not None
    shape = {name: getattr(load.shape, name) for name in SHAPE}
    made = make_muon(LlamaForCausalLM(LlamaConfig(**shape)), [], Arguments)
    made.make_state()
    kept = [one for state in made.state.values() for kind, one in state.items() if kind != "step"]
    assert state_bytes(load, on_gpu=True) == sum(one.numel() * one.element_size() for one in kept) > 0


@pytest.mark.parametrize(
    ("first", "then"), [(("ddp", 2), ("fsdp2", 2)), (("fsdp2", 2), ("ddp", 1))], ids=("shards", "joins")
)
def test_a_killed_run_continues_with_another_strategy_and_number_of_ranks(
    warm, straight, cache, tmp_path, first: tuple[str, int], then: tuple[str, int]
):
    common = (
        "plugin=[sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=5", "trainer.optim=muon",
        "trainer.learning_rate=1e-3",
    )  # fmt: skip
    whole = straight(*common, *TWO, "strategy=ddp")
    run = planned(tmp_path, cache, *common, *TWO, f"strategy={first[0]}")
    assert warm.run(run.path, kill_after_saves=2)["killed"], run.logs()
    RunDir(run.path).add_end(1, 137)
    verb = (
        "resume",
        str(run.path),
        f"strategy={then[0]}",
        f"resources.gpus_per_node={then[1]}",
        "dry_run=true",
    )
    done = preloaded.run(verb, tmp_path, environment(), timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert warm.run(run.path)["codes"] == [0] * then[1], run.logs()
    assert 5 <= run.events("resumed")[0]["step"] < 20
    last = {line["step"]: line["loss"] for line in run.metrics() if "loss" in line}
    assert [last[step] for step in sorted(last)] == pytest.approx(whole.losses, abs=1e-4)
