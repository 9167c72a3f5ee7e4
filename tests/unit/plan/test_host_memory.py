"""The host memory of a node by the plan: what it counts, and that a job with less is refused."""

import dataclasses
import json
import time
from pathlib import Path

import pytest

from launcher.errors import PlanError
from launcher.launching.estimates import estimate_lines
from launcher.plan import check_fits, little_memory
from launcher.plan.combine import notes
from launcher.plan.fit import make_load
from launcher.plan.memory.host import CHILD, pinned, snapshot_bytes
from launcher.train.rewards.process import RewardProcess

GIB = 2**30
FULL_70B = (
    "+experiment=llama70b_lora_zero3", "strategy=fsdp2", "plugin=[gradient_checkpointing]", "resources.nodes=4",
)  # fmt: skip
QLORA_70B_ON_2 = (
    "+experiment=llama70b_qlora", "strategy=fsdp2_offload", "resources.nodes=1", "resources.gpus_per_node=2",
)  # fmt: skip
LORA_8B = ("+experiment=llama8b_lora", "strategy=ddp")


def test_offloading_needs_what_is_loaded_and_what_is_offloaded_together(plan):
    host = plan(*QLORA_70B_ON_2, "plugin=[qlora]").room.host_gib
    loading, offloaded = 2 * 34.7, 34.7  # every rank's whole 4-bit weights, and a share on each
    assert 2 * 2 + loading + offloaded <= host <= 1.35 * (loading + offloaded)


def test_one_rank_of_a_node_loads_a_model_that_fsdp2_shards(plan):
    once = plan(*FULL_70B).room.host_gib
    each = plan(*FULL_70B, "strategy.cpu_ram_efficient_loading=false").room.host_gib
    whole = 4 * 70.55e9 / GIB
    assert once == pytest.approx(8 * 2 + whole, rel=0.01)
    assert each == pytest.approx(8 * (2 + whole), rel=0.01)


@pytest.mark.parametrize("plugin", ["qlora", "lora"])
def test_every_rank_loads_what_cannot_be_sent(plan, plugin: str):
    more = ("plugins.lora.init_lora_weights=pissa",) if plugin == "lora" else ()
    planned = plan("+experiment=llama8b_lora", "strategy=fsdp2", f"plugin=[{plugin}]", *more)
    other = plan("+experiment=llama8b_lora", "strategy=fsdp2", "plugin=[lora]")
    whole = planned.room.host_gib - 4 * 2
    assert whole > (1.2 if plugin == "qlora" else 3.9) * (other.room.host_gib - 4 * 2)


def test_the_copy_of_a_save_takes_a_power_of_two_on_every_rank(compose, plan):
    overrides = ("+experiment=llama8b_full_zero3", "resources.nodes=1")
    load = make_load(compose(*overrides), plan(*overrides))
    assert load is not None and load.saves
    assert snapshot_bytes(load) == 16 * GIB > 12 * 8.03e9 / 8
    assert snapshot_bytes(dataclasses.replace(load, saves=False)) == 0
    alone = dataclasses.replace(load, strategy=next(one for one in _strategies() if one.name == "ddp"))
    assert snapshot_bytes(alone) >= 12 * 128_256 * 4096  # one rank writes the whole embedding


@pytest.mark.parametrize("value", ["0", "-3", "inf"])
def test_a_node_has_a_positive_amount_of_memory(plan, value: str):
    with pytest.raises(PlanError, match=r"cluster.node_memory_gib=\S+ must be a number above 0"):
        plan(*LORA_8B, f"cluster.node_memory_gib={value}")


@pytest.mark.parametrize(("plugin", "told"), [("qlora", 1), ("lora", 0)])
def test_a_key_that_cannot_have_an_effect_is_reported(compose, plan, plugin: str, told: int):
    overrides = (*LORA_8B, "strategy=fsdp2", f"plugin=[{plugin}]", "strategy.cpu_ram_efficient_loading=true")
    said = notes(compose(*overrides), plan(*overrides))
    assert sum("every rank still loads these weights" in one for one in said) == told


def test_pinned_memory_is_rounded_up_to_a_power_of_two():
    assert [pinned(size) for size in (0, 1, 3, 4096, 4097)] == [0, 1, 4, 4096, 8192]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (("cluster.node_memory_gib=40", "resources.memory_gib=0"), "cluster.node_memory_gib=40"),
        (("cluster.node_memory_gib=60", "resources.memory_gib=40"), "resources.memory_gib=40"),
    ],
)
def test_a_job_with_less_host_memory_than_the_plan_needs_is_refused(compose, plan, given, key: str):
    with pytest.raises(
        PlanError,
        match=rf"^{key} is less than the \S+ GiB of host memory.* fit, nearest first: strategy=fsdp2;",
    ):
        check_fits(compose(*LORA_8B, *given), plan(*LORA_8B, *given))
    check_fits(compose(*LORA_8B, *given, "force=true"), plan(*LORA_8B, *given, "force=true"))


@pytest.mark.parametrize("given", [("resources.memory_gib=68",)])
def test_enough_host_memory_or_an_unknown_one_is_accepted(compose, plan, given):
    check_fits(compose(*LORA_8B, *given), plan(*LORA_8B, *given))


def test_a_job_that_requests_cores_and_no_memory_is_told_what_it_needs(plan):
    assert "the plan needs 68 GiB of host memory on each node" in (little_memory(plan(*LORA_8B)) or "")
    for asked in (
        "resources.memory_gib=0",
        "+cluster.sbatch.mem-per-gpu=64G",
        "+cluster.sbatch.exclusive=true",
    ):
        assert little_memory(plan(*LORA_8B, asked)) is None
    assert little_memory(plan(*LORA_8B, cluster="local")) is None


def test_a_plan_says_whether_a_node_has_the_host_memory(cli):
    arguments = ("plan", "+experiment=llama8b_lora", "cluster=slurm", "cluster.node_memory_gib=10")
    memory = json.loads(cli(*arguments, "--json").stdout)["memory"]
    assert memory["host_fits"] is False and memory["node_gib"] == 10
    assert memory["fits"] is None


@pytest.mark.parametrize("strategy", ["ddp", "zero2", "zero3"])
def test_the_key_is_refused_where_it_has_no_effect(plan, strategy: str):
    with pytest.raises(
        PlanError, match=r"cpu_ram_efficient_loading=true has no effect with strategy=.*fsdp2, or take it out"
    ):
        plan("+experiment=llama8b_lora", f"strategy={strategy}", "strategy.cpu_ram_efficient_loading=true")
    plan("+experiment=llama8b_lora", f"strategy={strategy}", "strategy.cpu_ram_efficient_loading=false")


def _strategies():
    from launcher.strategies import candidates

    return candidates()


REWARDED = (
    "+experiment=llama8b_lora", "trainer=grpo", "strategy=ddp", "resources.gpus_per_node=4",
    "trainer.reward_functions=[{_target_: my.one}, {_target_: my.other}]",
)  # fmt: skip


def test_the_processes_of_reward_functions_are_counted_for_every_rank(compose, plan):
    beside, within = plan(*REWARDED), plan(*REWARDED, "trainer.reward_timeout_s=0")
    assert beside.room.host_gib - within.room.host_gib == pytest.approx(4 * 2 * CHILD / GIB, abs=0.02)
    told = dict(estimate_lines(compose(*REWARDED), beside))["needs"]
    assert "(with 2 processes beside each rank, but without the memory that their functions take)" in told
    alone = compose(*REWARDED, "trainer.reward_timeout_s=0")
    assert "beside" not in dict(estimate_lines(alone, within))["needs"]


def test_a_process_of_a_reward_function_needs_what_the_plan_counts(tmp_path, monkeypatch):
    (tmp_path / "plain.py").write_text(
        "def score(completions, **kwargs):\n    return [0.0 for _ in completions]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    process = RewardProcess("trainer.reward_functions[0]", "plain.score", {})
    process.start()
    try:
        assert process.wait_until_ready(time.monotonic() + 60) is None
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.end()
    (resident,) = [int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:")]
    assert 0.5 * CHILD < resident < 1.5 * CHILD
