"""What a refused plan offers instead: each setting, planned again, fits."""

import re
import shlex

import pytest

from launcher.errors import PlanError
from launcher.plan import check_fits
from launcher.plan.verdict import fits
from launcher.plan.way_out import find_ways_out
from launcher.plugins.decide import decide

RUNS = {
    "70b-qlora-1": ("+experiment=llama70b_qlora", "resources.nodes=1", "strategy=ddp", "resources.gpus_per_node=1"),
    "70b-lora-16": ("+experiment=llama70b_lora_zero3",),
    "8b-full-8": ("+experiment=llama8b_full_zero3", "resources.nodes=1"),
    "8b-full-1": ("+experiment=llama8b_full_zero3", "resources.nodes=1", "strategy=ddp", "resources.gpus_per_node=1"),
    "8b-lora-1": (
        "+experiment=llama8b_lora", "strategy=ddp", "resources.gpus_per_node=1", "plugin=[lora]", "batch.micro_batch_size=8",
    ),
    "8b-own-keys": (
        "+experiment=llama8b_lora", "strategy=zero2", "+strategy.deepspeed.zero_optimization.sub_group_size=100000000",
    ),
    "8b-dpo-8": ("+experiment=llama8b_full_zero3", "resources.nodes=1", "trainer=dpo", "model.max_length=4096"),
    "8b-copies-32": (
        "+experiment=llama8b_full_zero3", "resources.nodes=4", "strategy=fsdp2", "strategy.dp_replicate_size=4",
    ),
    "70b-second-16": ("+experiment=llama70b_lora_zero3", "resources.nodes=2", "strategy.hpz_size=8"),
    "8b-orpo-1": (
        "+experiment=llama8b_lora", "strategy=ddp", "resources.gpus_per_node=1", "trainer=orpo", "model.max_length=4096",
    ),
    "8b-long-8": (
        "+experiment=llama8b_full_zero3", "resources.nodes=1", "model.max_length=262144", "batch.micro_batch_size=1",
        "batch.global_batch_size=16", "model.attn_implementation=flash_attention_2",
    ),
    "8b-shared-8": (
        "+experiment=llama8b_full_zero3", "resources.nodes=1", "model.max_length=524288", "batch.micro_batch_size=1",
        "batch.global_batch_size=16", "model.attn_implementation=flash_attention_2", "strategy.sequence_parallel_size=2",
    ),
    "8b-grpo-4": (
        "+experiment=llama8b_lora", "trainer=grpo", "trainer.reward_functions=[{_target_: json.dumps}]",
        "batch.global_batch_size=256", "model.max_length=8192", "trainer.max_completion_length=4096",
    ),
}  # fmt: skip
REFUSED = [
    ("70b-qlora-1", ("cluster.gpu_memory_gib=24",)), ("70b-lora-16", ("cluster.gpu_memory_gib=16",)),
    ("8b-full-8", ("cluster.gpu_memory_gib=24", "cluster.node_memory_gib=100")), ("8b-full-1", ("cluster.gpu_memory_gib=80",)),
    ("8b-lora-1", ("cluster.gpu_memory_gib=40",)), ("8b-own-keys", ("cluster.gpu_memory_gib=16",)),
    ("8b-own-keys", ("resources.memory_gib=30",)), ("8b-dpo-8", ("cluster.gpu_memory_gib=20",)),
    ("8b-copies-32", ("cluster.gpu_memory_gib=32",)), ("70b-second-16", ("cluster.gpu_memory_gib=24",)),
    ("8b-orpo-1", ("cluster.gpu_memory_gib=24",)), ("8b-grpo-4", ("cluster.gpu_memory_gib=80",)),
    ("8b-long-8", ("cluster.gpu_memory_gib=80",)), ("8b-shared-8", ("cluster.gpu_memory_gib=80",)),
]  # fmt: skip
KINDS = [
    "smaller_micro_batch", "checkpointing", "tiled_mlp", "strategy", "fewer_copies", "sequence", "four_bit", "offload",
    "more_gpus", "fewer_gpus", "shorter", "lora", "qlora",
]  # fmt: skip


@pytest.mark.parametrize(("run", "place"), REFUSED)
def test_every_setting_that_a_refusal_offers_fits_when_it_is_planned(
    compose, facts, run: str, place: tuple[str, ...]
):
    config = compose(*RUNS[run], *place)
    made = decide(config, facts(config))
    assert fits(config, made) is False
    offered = find_ways_out(config, made)
    assert offered
    kinds = [one.kind for one in offered]
    assert kinds == sorted(kinds, key=KINDS.index)
    for one in offered:
        other = compose(*RUNS[run], *place, *shlex.split(" ".join(one.overrides)))
        again = decide(other, facts(other))
        assert fits(other, again) and again.memory, one
        assert again.memory.total == pytest.approx(one.total_gib, rel=0.01), one
    with pytest.raises(PlanError) as refused:
        check_fits(config, made)
    told = re.search("nearest first: (.*), or launch", str(refused.value))
    assert told and told.group(1).split("; or ") == [" ".join(one.overrides) for one in offered[:3]]


def test_the_nearest_setting_is_a_smaller_micro_batch_and_then_recomputation(compose, plan):
    overrides = (*RUNS["8b-lora-1"], "cluster.gpu_memory_gib=60", "model.max_length=2048")
    found = [one.overrides for one in find_ways_out(compose(*overrides), plan(*overrides))]
    assert found[:2] == [("batch.micro_batch_size=2",), ("'plugin=[lora,gradient_checkpointing]'",)]


def test_a_sequence_that_is_too_long_for_a_gpu_is_shared_by_the_fewest_gpus_that_hold_it(compose, plan):
    overrides = (*RUNS["8b-long-8"], "cluster.gpu_memory_gib=80")
    found = [one.overrides for one in find_ways_out(compose(*overrides), plan(*overrides))]
    assert found[0] == ("strategy.sequence_parallel_size=4",)
    longer = tuple(one.replace("262144", "524288") for one in overrides)
    found = [one.overrides for one in find_ways_out(compose(*longer), plan(*longer))]
    assert found[0] == ("strategy.sequence_parallel_size=8",)
