"""Strategies as specs: found by the configuration, in order, and the same again from plan.json."""

import dataclasses
import importlib.util
import json
import re

import pytest

from launcher.config import StrategyConfig
from launcher.errors import ConfigError, PlanError
from launcher.strategies import Degrees, Strategy, candidates, make_strategy, planned_strategy
from launcher.strategies.registry import STRATEGIES

NAMES = [one.name for one in candidates()]


def test_the_candidates_shard_ever_more_and_offload_last():
    assert NAMES == ["ddp", "zero1", "zero2", "fsdp2", "zero3", "fsdp2_offload", "zero3_offload"]


@pytest.mark.parametrize("strategy", candidates(), ids=NAMES)
def test_a_strategy_is_the_same_again_from_its_settings_and_from_plan_json(strategy: Strategy):
    written = json.loads(json.dumps(dataclasses.asdict(strategy)))
    assert make_strategy(strategy.config()) == planned_strategy(written) == strategy
    assert type(planned_strategy(written)) is type(strategy)


@pytest.mark.parametrize("strategy", candidates(), ids=NAMES)
def test_the_module_on_the_rank_is_there(strategy: Strategy):
    assert importlib.util.find_spec(strategy.on_rank)


@pytest.mark.parametrize("name", STRATEGIES.own_names())
def test_a_strategy_can_be_requested_by_its_own_name(name: str):
    assert make_strategy(StrategyConfig(engine=name)) == STRATEGIES.find(name)


def test_an_unknown_strategy_is_refused_with_the_nearest_name():
    with pytest.raises(
        ConfigError, match=re.escape("strategy.engine=fsdp: unknown strategy 'fsdp'; did you mean fsdp2?")
    ):
        make_strategy(StrategyConfig(engine="fsdp"))


def test_a_zero_stage_of_another_strategy_is_refused():
    with pytest.raises(PlanError, match="belongs to DeepSpeed, but strategy"):
        make_strategy(StrategyConfig(engine="fsdp2", zero_stage=3))


@pytest.mark.parametrize("strategy", candidates(), ids=NAMES)
def test_a_strategy_spreads_over_all_ranks(strategy: Strategy):
    degrees = strategy.degrees(StrategyConfig(), 16)
    assert degrees.world_size == degrees.data_parallel_size == 16
    assert degrees.shard_size == (1 if strategy.replicates else 16)


@pytest.mark.parametrize("strategy", candidates(), ids=NAMES)
def test_one_rank_holds_all_of_what_is_trained(strategy: Strategy):
    tensors = [((7, 3), 2), ((5,), 1)]
    alone = strategy.degrees(StrategyConfig(), 1)
    assert strategy.acting(alone).shard(tensors, alone) == 47


def test_fsdp2_on_one_rank_is_plain_data_parallelism():
    fsdp2 = make_strategy(StrategyConfig(engine="fsdp2"))
    assert fsdp2.acting(Degrees()).replicates
    assert fsdp2.acting(Degrees(dp_shard=2)) is fsdp2


def test_data_parallel_ranks_are_those_that_do_not_share_a_sequence_or_a_matrix():
    degrees = Degrees(dp_replicate=2, dp_shard=3, sequence=2, tensor=2, expert=3)
    assert (degrees.world_size, degrees.data_parallel_size, degrees.shard_size) == (24, 6, 6)
    assert [degrees.data_parallel_rank(rank) for rank in range(24)] == [
        number for number in range(6) for _ in range(4)
    ]


@pytest.mark.parametrize("strategy", candidates(), ids=NAMES)
def test_ranks_that_share_a_sequence_share_the_sharded_state_and_take_the_same_samples(strategy: Strategy):
    degrees = strategy.degrees(StrategyConfig(sequence_parallel_size=4), 16)
    assert (degrees.world_size, degrees.data_parallel_size, degrees.sequence) == (16, 4, 4)
    if not strategy.replicates:
        assert degrees.shard_size == 16
    assert strategy.averaged_over(degrees) == 16  # no library is told of the groups


@pytest.mark.parametrize("size", [0, -2, 3, 32])
@pytest.mark.parametrize("strategy", candidates(), ids=NAMES)
def test_a_sequence_degree_that_does_not_divide_the_ranks_is_refused(strategy: Strategy, size: int):
    with pytest.raises(
        PlanError,
        match=rf"sequence_parallel_size={size} must divide the number of ranks, 16 .* use 1, 2, 4, 8 or 16, or",
    ):
        strategy.degrees(StrategyConfig(sequence_parallel_size=size), 16)


def test_a_run_that_offloads_under_fsdp_has_a_group_for_the_host_too(plan):
    """The norm of gradients on the host is summed there, which nccl cannot do."""
    ranks = ("+experiment=tiny", "resources.gpus_per_node=2")
    assert plan(*ranks, "strategy=fsdp2_offload").trainer_args["ddp_backend"] == "cuda:nccl,cpu:gloo"
    assert "ddp_backend" not in plan(*ranks, "strategy=fsdp2").trainer_args
    with pytest.raises(
        PlanError, match=r"trainer.args.ddp_backend=nccl does not work with strategy=fsdp2_offload"
    ):
        plan(*ranks, "strategy=fsdp2_offload", "++trainer.args.ddp_backend=nccl")


def test_accelerate_starts_the_group_that_it_is_told(monkeypatch):
    import torch
    from accelerate.state import PartialState

    started = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda *_: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: started.append(backend))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setenv("LOCAL_RANK", "0")
    PartialState._reset_state()
    try:
        PartialState(backend="cuda:nccl,cpu:gloo")
    finally:
        PartialState._reset_state()
    assert started == ["cuda:nccl,cpu:gloo"]
