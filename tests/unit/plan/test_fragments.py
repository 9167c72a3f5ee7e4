"""What torch's allocator holds beside the tensors, by the plan; and whether its segments grow on the ranks."""

from dataclasses import replace

import pytest

from launcher.errors import PlanError
from launcher.plan import check_fits
from launcher.plan.allocator import allocator_variables
from launcher.plan.fit import make_load
from launcher.plan.memory.fragments import ENDING, PAGE, segment_bytes

LORA_8B = ("+experiment=llama8b_lora", "cluster=slurm", "resources.device=cuda")


def test_with_segments_that_grow_it_is_the_same_for_every_size_and_length(plan):
    parts = [
        plan(*LORA_8B, *more).memory.parts["fragmentation"]
        for more in ((), ("model.max_length=512",), ("batch.micro_batch_size=4",), ("plugin=[lora]",))
    ]
    assert set(parts) == {round(ENDING * PAGE / 2**30, 3)}


def test_gradients_that_stay_until_the_step_leave_twice_as_many_gaps(plan):
    """With one gap for each result, 8B/4 full ckpt 1024 accumulation=2 batch=2 mixed did not fit where the plan said so."""
    whole = plan("+experiment=llama8b_full_zero3", "cluster=slurm").memory.parts["fragmentation"]
    assert whole == round(2 * ENDING * PAGE / 2**30, 3)


def test_with_fixed_segments_it_grows_with_what_the_backward_pass_needs(plan):
    fixed = (*LORA_8B, "cluster.expandable_segments=false")
    kept = plan(*fixed, "plugin=[lora]").memory.parts["fragmentation"]
    recomputed = plan(*fixed).memory.parts["fragmentation"]
    grown = plan(*LORA_8B).memory.parts["fragmentation"]
    assert kept > recomputed > grown


def test_a_measured_share_replaces_the_rule(plan):
    for share in (0, 0.05):
        parts = plan(*LORA_8B, f"cluster.fragmentation={share}").memory.parts
        tensors = sum(gib for kind, gib in parts.items() if kind not in ("context", "fragmentation"))
        assert parts["fragmentation"] == pytest.approx(share * tensors, abs=0.01)


def test_the_ranks_get_the_setting_and_the_plan_reads_it_from_their_environment(plan):
    assert plan(*LORA_8B).env["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    named = plan(
        *LORA_8B, "+cluster.env.PYTORCH_CUDA_ALLOC_CONF='expandable_segments:True,max_split_size_mb:512'"
    )
    assert "PYTORCH_ALLOC_CONF" not in named.env
    assert named.memory == plan(*LORA_8B).memory
    other = plan(*LORA_8B, "+cluster.env.PYTORCH_ALLOC_CONF='max_split_size_mb:512'")
    assert other.env["PYTORCH_ALLOC_CONF"] == "max_split_size_mb:512"
    assert other.memory == plan(*LORA_8B, "cluster.expandable_segments=false").memory


@pytest.mark.parametrize("more", ["cluster.expandable_segments=false", "cluster.gpu_vendor=amd"])
def test_the_setting_is_left_out_where_it_cannot_be(plan, more):
    assert "PYTORCH_ALLOC_CONF" not in plan(*LORA_8B, more).env


def test_ranks_on_a_cpu_have_no_such_allocator(compose):
    assert allocator_variables(compose(*LORA_8B), "cpu") == {}


def test_vllm_in_the_ranks_keeps_segments_of_fixed_sizes(plan):
    """Its memory pool cannot lie in segments that grow."""
    asked = (
        "trainer=grpo", "trainer.reward_functions=[{_target_: tests.fakecuda.watch.reward}]", "plugin=[gradient_checkpointing]",
        "generation.mode=colocate",
    )  # fmt: skip
    made = plan(*LORA_8B, *asked)
    assert "PYTORCH_ALLOC_CONF" not in made.env


def test_a_gpu_that_is_enough_only_with_segments_that_grow_is_refused_without(compose, plan):
    long = (*LORA_8B, "plugin=[lora]", "batch.micro_batch_size=1", "model.max_length=4096")
    grown, fixed = (
        plan(*long, f"cluster.expandable_segments={value}").memory.total for value in ("true", "false")
    )
    between = (*long, f"cluster.gpu_memory_gib={(grown + fixed) / 2:.1f}")
    check_fits(compose(*between), plan(*between))
    refused = (*between, "cluster.expandable_segments=false")
    with pytest.raises(PlanError, match="is less than"):
        check_fits(compose(*refused), plan(*refused))


def test_a_model_with_as_many_key_value_heads_as_heads_leaves_more_beside_a_tensor(compose, plan):
    """The smallest request that could take what is left is larger."""
    load = make_load(compose(*LORA_8B, "plugin=[lora]"), plan(*LORA_8B, "plugin=[lora]"))
    assert load is not None
    many = replace(load, shape=replace(load.shape, num_key_value_heads=load.shape.num_attention_heads))
    assert segment_bytes(many) > 1.5 * segment_bytes(load)
