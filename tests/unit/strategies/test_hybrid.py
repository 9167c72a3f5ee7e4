"""Copies of a sharded state, and a second copy of the weights: degrees, files, memory and time, before anything runs."""

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from launcher.config import ClusterConfig, StrategyConfig
from launcher.errors import NotAsPlanned, PlanError
from launcher.methods.registry import find_method
from launcher.plan.combination import Combination
from launcher.plan.memory.weights import second_copy_bytes, sharded_weight_bytes
from launcher.plan.search import strategies
from launcher.plan.time import communication_bytes, sent_parts, step_parts
from launcher.strategies import make_strategy
from launcher.strategies.registry import STRATEGIES
from launcher.train.checkpoint.shards import Shard, Snapshot
from launcher.train.equip import check_state
from tests.support import published

RANKS = ("+experiment=llama8b_full_zero3", "resources.nodes=4", "resources.gpus_per_node=8")
COPIES = (*RANKS, "strategy=fsdp2", "strategy.dp_replicate_size=4")
SECOND = (*RANKS, "strategy=zero3", "strategy.hpz_size=8")


def test_every_rank_takes_its_own_samples_and_shards_are_those_of_one_copy(plan):
    whole, copies = plan(*RANKS, "strategy=fsdp2"), plan(*COPIES)
    assert (copies.degrees.dp_replicate, copies.degrees.dp_shard, copies.degrees.shard_size) == (4, 8, 8)
    assert copies.batch == whole.batch
    memory, all_ranks = copies.memory.parts, whole.memory.parts
    for kind in ("weights", "optimizer"):
        assert memory[kind] == pytest.approx(4 * all_ranks[kind], rel=0.02)
    assert copies.room.checkpoint_gib == pytest.approx(whole.room.checkpoint_gib, rel=0.01)


def test_the_files_say_how_many_copies_there_are(plan):
    sizes = plan(*COPIES).accelerate["parallelism_config"]
    assert sizes == {"parallelism_config_dp_replicate_size": 4, "parallelism_config_dp_shard_size": 8}
    assert "parallelism_config" not in plan(*RANKS, "strategy=fsdp2").accelerate
    assert plan(*SECOND).deepspeed["zero_optimization"]["zero_hpz_partition_size"] == 8
    assert "zero_hpz_partition_size" not in plan(*RANKS, "strategy=zero3").deepspeed["zero_optimization"]


def test_accelerate_launch_takes_the_file_with_copies(plan, tmp_path):
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    path = tmp_path / "accelerate.yaml"
    path.write_text(yaml.safe_dump(dict(plan(*COPIES).accelerate)))
    options = launch_command_parser().parse_args(["--config_file", str(path), "train.py"])
    options, *_ = _validate_launch_command(options)
    assert options.use_parallelism_config and options.parallelism_config_dp_replicate_size == 4


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "strategy=fsdp2 strategy.dp_replicate_size=3",
            "strategy.dp_replicate_size=3 must divide the number of ranks, 32, and be less than it; use 1, 2, 4, 8 or 16",
        ),
        ("strategy=fsdp2 strategy.dp_replicate_size=32", "must divide the number of ranks, 32, and be less"),
        ("strategy=fsdp2 strategy.dp_replicate_size=0", "must divide the number of ranks, 32, and be less"),
        (
            "strategy=fsdp2 strategy.dp_replicate_size=3 strategy.sequence_parallel_size=4",
            "must divide the number of groups of ranks that share a sequence, 8; use 1, 2, 4 or 8",
        ),
        ("strategy=zero3 strategy.hpz_size=5", "strategy.hpz_size=5 must divide the number of ranks, 32"),
        (
            "strategy=zero3 strategy.hpz_size=32",
            "must divide the number of ranks, 32, and be less than it",
        ),
        (
            "strategy=ddp strategy.dp_replicate_size=4",
            "strategy.dp_replicate_size=4 works with strategy=fsdp2, but not with ddp; use strategy=fsdp2",
        ),
        ("strategy=zero3 strategy.dp_replicate_size=4", "works with strategy=fsdp2, but not with zero3"),
        ("strategy=fsdp2 strategy.hpz_size=8", "works with strategy=zero3, but not with fsdp2"),
        ("strategy=zero2 strategy.hpz_size=8", "works with strategy=zero3, but not with zero2"),
        ("strategy=zero3_offload strategy.hpz_size=8", "would keep the second copy in host memory"),
        (
            "strategy=zero3 ++strategy.deepspeed.zero_optimization.zero_hpz_partition_size=8",
            "zero_hpz_partition_size cannot be set: set strategy.hpz_size instead",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_numbers_that_can(plan, typed: str, said: str):
    with pytest.raises(PlanError) as refused:
        plan(*RANKS, *typed.split())
    assert said in str(refused.value)


def load(strategy: str, gpus: int, **keys: Any):
    """A full fine-tune of 7B on nodes of 8 GPUs."""
    one = published.load(published.LLAMA2_7B, None, 1, 4096, strategy=strategy, gpus=gpus)
    spec = STRATEGIES.find(strategy)
    degrees = spec.degrees(StrategyConfig(**keys), gpus)
    return dataclasses.replace(one, degrees=degrees, gpus_per_node=8)


def test_copies_gather_within_a_node_and_send_their_gradients_over_the_network():
    flat, copies = load("fsdp2", 32), load("fsdp2", 32, dp_replicate_size=4)
    within, over = sent_parts(copies, 4096)
    assert (within.span, over.span, over.rings) == (8, 32, 8)
    assert over.bytes == pytest.approx(2 * 3 / 4 * copies.trained * copies.width / 8)
    assert within.bytes == pytest.approx(7 / 8 / (31 / 32) * communication_bytes(flat))
    cluster = ClusterConfig(gpu_type="H100", link_gb_s=300, network_gb_s=30)
    seconds = [step_parts(cluster, one, 4096)[1] for one in (flat, copies)]
    assert seconds[1] == pytest.approx(within.bytes / 300e9 + 8 * over.bytes / 30e9)
    assert seconds[1] < 0.7 * seconds[0]


def test_copies_over_parts_of_nodes_use_the_network():
    odd = load("fsdp2", 24, dp_replicate_size=2)  # 12 ranks of a copy lie on one node and a half
    cluster = ClusterConfig(gpu_type="H100", link_gb_s=300, network_gb_s=30)
    within, over = sent_parts(odd, 4096)
    assert step_parts(cluster, odd, 4096)[1] == pytest.approx((within.bytes + 8 * over.bytes) / 30e9)


def test_a_second_copy_keeps_all_gathers_but_the_first_of_a_step_within_its_ranks():
    flat, second = load("zero3", 32), load("zero3", 32, hpz_size=8)
    within, over = sent_parts(second, 4096)
    first = second.trained * second.width
    assert (within.span, over.span) == (8, 32)
    assert within.bytes == pytest.approx(7 / 8 * 2 * first)  # recomputed forward pass, backward pass
    assert over.bytes == pytest.approx(31 / 32 * 2 * first)  # first gather, gradients
    assert communication_bytes(flat) == pytest.approx(31 / 32 * 4 * first)


def test_a_second_copy_takes_the_weights_over_its_ranks():
    second = load("zero3", 32, hpz_size=8)
    assert second_copy_bytes(second) == pytest.approx(sharded_weight_bytes(second) * 4)
    assert second_copy_bytes(load("zero3", 32)) == 0


def test_settings_near_a_plan_with_copies_keep_them(plan):
    config = StrategyConfig(engine="fsdp2", dp_replicate_size=4)
    strategy = make_strategy(config)
    run = Combination(trainer="sft", method=find_method("sft"), strategy=strategy)
    found = [one.name for one in strategies(config, run, 32)]
    assert found == ["fsdp2", "fsdp2_offload"]
    assert [*strategies(config, run, 6)] == []  # four copies of six ranks


class Mesh(dict[str, SimpleNamespace]):
    """As much of torch's DeviceMesh as is asked."""

    mesh_dim_names = ("dp_replicate", "dp_shard_cp")


@pytest.mark.parametrize("copies", [None, 2, 4])
def test_a_rank_stops_if_its_mesh_is_not_that_of_the_plan(plan, copies: int | None):
    made = plan(*COPIES)
    mesh = None if copies is None else Mesh(dp_replicate=SimpleNamespace(size=lambda: copies))
    state = SimpleNamespace(
        num_processes=32, mixed_precision="bf16", fsdp_plugin=SimpleNamespace(fsdp_version=2)
    )
    device = SimpleNamespace(type="cuda")
    args = SimpleNamespace(
        per_device_train_batch_size=made.batch.micro_batch_size,
        gradient_accumulation_steps=made.batch.gradient_accumulation_steps,
    )
    accelerator = SimpleNamespace(state=state, device=device, torch_device_mesh=mesh)
    trainer: Any = SimpleNamespace(
        accelerator=accelerator, args=args, is_deepspeed_enabled=False, is_fsdp_enabled=True
    )
    said = f"dp_replicate is {copies or 1} on this rank and 4 in the plan"
    with nullcontext() if copies == 4 else pytest.raises(NotAsPlanned, match=said):
        check_state(trainer, made)


def test_ranks_that_hold_the_same_range_write_equal_parts_of_it():
    state = {"exp_avg": torch.arange(10.0) + 100, "step": torch.tensor(3.0)}
    written: dict[str, list[tuple[int, list[float]]]] = {}
    for copy in range(3):
        shard = Shard(
            name="w", shape=[30], start=20, weight=torch.arange(20.0, 30.0), state=state, copies=3, copy=copy
        )
        snapshot = Snapshot()
        snapshot.take([shard], rank=copy, world_size=3)
        values = torch.frombuffer(bytearray(snapshot.data()), dtype=torch.float32)
        at = 0
        for piece in snapshot.pieces:
            written.setdefault(piece.name, []).append((piece.start, values[at : at + piece.numel].tolist()))
            at += piece.numel
    assert written == {
        "weight/w": [(20, [20, 21, 22]), (23, [23, 24, 25]), (26, [26, 27, 28, 29])],
        "exp_avg/w": [(20, [100, 101, 102]), (23, [103, 104, 105]), (26, [106, 107, 108, 109])],
    }


SLOW = ("strategy=auto", "cluster.gpu_memory_gib=80", "cluster.network_gb_s=10")


def test_auto_takes_a_copy_on_each_node_where_that_is_fastest_and_says_so(plan):
    chosen = plan(*RANKS, *SLOW)
    assert chosen.strategy.copies and chosen.degrees.dp_replicate == 4
    assert chosen.chosen.startswith("strategy=auto: fsdp2 with 4 copies and micro-batch ")
    assert chosen.time.step_s < plan(*RANKS, *SLOW, "strategy=fsdp2").time.step_s


def test_auto_keeps_the_degrees_that_are_typed(plan):
    assert plan(*RANKS, *SLOW, "strategy.dp_replicate_size=2").degrees.dp_replicate == 2
    assert plan(*RANKS, *SLOW, "strategy.hpz_size=8").degrees.hpz == 8
    with pytest.raises(PlanError, match="no strategy works with the other keys of this group on 32 ranks"):
        plan(*RANKS, *SLOW, "strategy.dp_replicate_size=2", "strategy.hpz_size=8")
