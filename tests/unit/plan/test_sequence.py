"""What strategy.sequence_parallel_size changes in a plan: batch, memory, time, and what is refused."""

import pytest

from launcher.errors import PlanError
from launcher.launching.summary import plan_lines
from launcher.plan.alternatives import find_alternatives
from launcher.plan.combine import notes
from launcher.plan.extent import extent_of
from launcher.plan.fit import make_load
from launcher.plan.memory.activations import activation_bytes
from launcher.plan.memory.weights import weight_bytes
from launcher.plan.time import communication_bytes, exchanged_bytes
from launcher.plan.way_out import find_ways_out

EIGHT = (
    "+experiment=llama8b_full_zero3", "resources.nodes=1", "batch.micro_batch_size=1", "model.max_length=32768",
    "trainer.packing=false",
)  # fmt: skip


def shared(size: int) -> tuple[str, ...]:
    return (*EIGHT, f"strategy.sequence_parallel_size={size}")


def test_the_global_batch_is_that_of_the_groups(compose, plan):
    made = plan(*shared(4))
    assert made.batch.gradient_accumulation_steps == 4 * plan(*EIGHT).batch.gradient_accumulation_steps
    assert made.deepspeed is not None and "train_batch_size" not in made.deepspeed
    told = dict(plan_lines(made, extent_of(compose(*shared(4)), made)))
    assert told["batch"].endswith("x 2 groups of 4 ranks that share each sequence")


def test_the_default_changes_nothing(plan):
    assert plan(*shared(1)) == plan(*EIGHT)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_activations_are_divided_by_the_ranks_that_share_a_sequence_and_the_state_is_not(
    compose, plan, size: int
):
    one, load = (make_load(compose(*typed), plan(*typed)) for typed in (EIGHT, shared(size)))
    assert one is not None and load is not None
    assert weight_bytes(load) == weight_bytes(one)
    # the attention's output is kept twice, and both are kept for one block of 32 alone
    assert 1 < activation_bytes(load) * size / activation_bytes(one) < 1.02


def test_every_rank_holds_the_mask_of_whole_rows(compose, plan):
    packed = ("trainer.packing=true", "model.max_length=4096")
    found = []
    for typed in ((*EIGHT, *packed), (*shared(4), *packed)):
        config, made = compose(*typed), plan(*typed)
        load = make_load(config, made)
        assert load is not None
        found.append(activation_bytes(load))
    mask = 2 * 4096**2
    assert found[1] > mask and found[1] - mask < 0.35 * (found[0] - mask)


def test_ranks_send_their_heads_in_every_block_and_pass(compose, plan):
    load = make_load(compose(*shared(4)), plan(*shared(4)))
    assert load is not None
    tokens = 32768 * load.accumulation / 4
    # 32 heads of q and of the output, 8 of k and of v, 128 wide, in bf16; forward, recomputed and backward; 3 of 4 parts leave
    assert exchanged_bytes(load, 32768) == pytest.approx(0.75 * 3 * 32 * (2 * 32 + 2 * 8) * 128 * 2 * tokens)
    alone = make_load(compose(*EIGHT), plan(*EIGHT))
    assert alone is not None and exchanged_bytes(alone, 32768) == 0 < communication_bytes(alone)


def test_a_step_of_as_many_tokens_takes_about_as_long(plan):
    one, four = plan(*EIGHT).time, plan(*shared(4)).time
    assert four.compute_s == pytest.approx(one.compute_s, rel=0.05)
    assert one.step_s < four.step_s < 1.5 * one.step_s
    assert four.tokens_per_s < one.tokens_per_s


def test_the_planner_keeps_the_degree_that_was_set(plan):
    typed = (*shared(2), "strategy=auto", "batch.micro_batch_size=auto", "cluster.gpu_memory_gib=80")
    made = plan(*typed)
    assert made.degrees.sequence == 2 and made.degrees.world_size == 8


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("strategy.sequence_parallel_size=3",), "must divide the number of ranks, 8 "),
        (("strategy.sequence_parallel_size=0",), "use 1, 2, 4 or 8"),
        (
            ("strategy.sequence_parallel_size=4", "model.max_length=1001"),
            r"model.max_length=1001 is not a multiple of strategy.sequence_parallel_size=4, .*use 1000 or 1004",
        ),
        (
            ("strategy.sequence_parallel_size=8", "model=qwen2_5_7b", "force=true"),
            r"does not work \(strategy.sequence_parallel_size=8, 28 attention heads, 4 key-value heads\)",
        ),
        (
            ("strategy.sequence_parallel_size=2", "plugin=[neftune,gradient_checkpointing]"),
            r"plugins.neftune with strategy.sequence_parallel_size does not work .*\(rule 1 of plugins.neftune\)",
        ),
        (("+strategy.deepspeed.sequence_parallel_size=2",), "set strategy.sequence_parallel_size instead"),
    ],
)
def test_a_degree_that_cannot_be_is_refused_with_its_numbers(plan, typed: tuple[str, ...], said: str):
    with pytest.raises(PlanError, match=said):
        plan(*EIGHT, *typed)


def test_more_ranks_than_key_value_heads_share_a_sequence_if_they_are_a_multiple(plan):
    assert plan(*EIGHT, "resources.nodes=2", "strategy.sequence_parallel_size=16").degrees.sequence == 16


def test_a_note_says_when_the_network_carries_the_exchange(compose, plan):
    wide = (*EIGHT, "resources.nodes=2", "strategy.sequence_parallel_size=16")
    assert any("over the network" in note for note in notes(compose(*wide), plan(*wide)))
    assert not any("over the network" in note for note in notes(compose(*shared(8)), plan(*shared(8))))


def test_tiles_of_the_mlp_are_offered_where_they_make_a_length_fit_or_the_longest_longer(compose, plan):
    typed = (
        *EIGHT, "cluster.gpu_memory_gib=80", "plugin=[gradient_checkpointing,sharded_checkpoint]", "batch.micro_batch_size=1",
        "model.attn_implementation=flash_attention_2", "strategy=fsdp2",
    )  # fmt: skip
    found = {one.kind: one for one in find_alternatives(compose(*typed), plan(*typed))}
    longest = {kind: dict(word.split("=", 1) for word in one.overrides) for kind, one in found.items()}
    plain, tiled = (longest[kind] for kind in ("longest_context", "longest_tiled_context"))
    assert tiled["trainer.mlp_tile_tokens"] == "4096"
    assert int(tiled["model.max_length"]) > 1.2 * int(plain["model.max_length"])
    within = (*typed, f"model.max_length={int(plain['model.max_length']) + 256}")
    ways = {one.kind: one.overrides for one in find_ways_out(compose(*within), plan(*within))}
    assert ways["tiled_mlp"] == ("trainer.mlp_tile_tokens=4096",)


def test_the_longest_shared_context_leaves_room_for_the_copies_that_were_set(compose, plan):
    typed = (
        *EIGHT, "resources.nodes=4", "strategy=fsdp2", "strategy.dp_replicate_size=4", "cluster.gpu_memory_gib=80",
    )  # fmt: skip
    found = {one.kind: one.overrides for one in find_alternatives(compose(*typed), plan(*typed))}
    assert "strategy.sequence_parallel_size=8" in found["longest_shared_context"]
