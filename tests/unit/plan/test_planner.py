"""What a plan says beside its memory: time, cost, the queue, other settings, and what it chooses itself."""

import dataclasses
import json
import math

import pytest
from omegaconf import OmegaConf

from launcher.config import ClusterConfig
from launcher.config.spelling import limit_s
from launcher.errors import PlanError
from launcher.launching.estimates import estimate_lines
from launcher.plan import close_call, few_cores
from launcher.plan.alternatives import find_alternatives
from launcher.plan.auto import SAME
from launcher.plan.gpu import gpu_of
from launcher.plan.queue import expect
from launcher.plan.waves import full_share
from launcher.plugins.lora_options import LoRAOptions
from launcher.resources import resource_dir

LORA_8B = ("+experiment=llama8b_lora", "cluster.gpu_tflops=990")
QLORA_70B = ("+experiment=llama70b_qlora", "resources.nodes=1", "model.max_length=2048")
ONE_GPU = ("strategy=ddp", "resources.gpus_per_node=1")


def test_a_step_takes_its_flops_at_the_achieved_share(plan):
    time = plan(*LORA_8B, "cluster.achieved_share=0.4").time
    assert time.compute_s == pytest.approx(
        # frozen: 4 FLOPs a weight, 2 more for recomputation and the fused head; attention on top
        6 * 7.5e9 * 4096 * 16 / (0.4 * 990e12),
        rel=0.2,
    )
    assert time.tokens_per_s == pytest.approx(64 * 4096 / time.step_s, rel=1e-3)
    twice = plan(*LORA_8B, "cluster.achieved_share=0.8").time
    assert twice.step_s < 0.6 * time.step_s


def test_the_basis_of_a_time_says_what_was_assumed(plan):
    assert "an A100's: neither cluster.gpu_tflops nor" in plan("+experiment=llama8b_lora").time.basis
    assert (
        "990 TFLOP/s: 77% of it for matrices, 18% for attention (as in published runs)"
        in plan(*LORA_8B).time.basis
    )
    assert "40% of 990 TFLOP/s" in plan(*LORA_8B, "cluster.achieved_share=0.4").time.basis


def test_a_step_is_estimated_by_kinds_of_kernels(plan):
    bf16, longer = plan(*LORA_8B).time, plan(*LORA_8B, "model.max_length=16384").time
    assert longer.step_s > 4.5 * bf16.step_s  # attention grows with the square of the length
    four_bit = plan(*LORA_8B, "plugin=[qlora,gradient_checkpointing,sharded_checkpoint]").time
    assert four_bit.step_s > bf16.step_s  # its weights are dequantised in every pass
    slower = plan(*LORA_8B, "cluster.gpu_memory_gb_s=1000").time
    assert 1.2 < slower.step_s / bf16.step_s < 2


def test_a_pass_over_few_tokens_takes_the_time_to_start_its_operations(plan):
    """87 operations of an adapted block, in a forward pass, a backward pass that costs two, and checkpointing's hooks, which
    cost three: 6.3 ms at 12 us each."""
    short = ("trainer.packing=false", "model.max_length=128", "batch.micro_batch_size=1")
    made = plan(
        *LORA_8B, *ONE_GPU, *short, "plugin=[lora,gradient_checkpointing]", "batch.global_batch_size=1"
    ).time
    assert made.step_s == pytest.approx(32 * 87 * 6 * 1.2e-5, rel=0.1)
    reentrant = plan(
        *LORA_8B, *ONE_GPU, *short, "plugin=[lora,gradient_checkpointing]", "batch.global_batch_size=1",
        "plugins.gradient_checkpointing.use_reentrant=true",
    ).time  # fmt: skip
    assert reentrant.step_s == pytest.approx(32 * 87 * 4 * 1.2e-5, rel=0.1)
    longer = plan(
        *LORA_8B, *ONE_GPU, *short[:1], "plugin=[lora,gradient_checkpointing]", "batch.micro_batch_size=8"
    ).time
    assert longer.tokens_per_s > 5 * made.tokens_per_s


def test_compiled_and_fused_layers_read_and_write_less(plan):
    alone = (*LORA_8B, *ONE_GPU, "trainer.packing=false", "plugin=[lora]")
    plain, compiled = plan(*alone).time, plan(*alone, "trainer.torch_compile=true").time
    assert 0.8 < compiled.step_s / plain.step_s < 0.95
    liger = plan(*alone, "plugin=[lora,liger]").time
    assert liger.step_s == pytest.approx(compiled.step_s, rel=0.02)


def test_attention_with_a_mask_computes_the_whole_square(plan):
    """Documents that share a row need a mask, which flash attention does not."""
    long = (*LORA_8B, "trainer.packing=true", "model.max_length=16384")
    masked, flash = plan(*long).time, plan(*long, "model.attn_implementation=flash_attention_2").time
    assert masked.step_s > 1.2 * flash.step_s


@pytest.mark.parametrize(
    ("rows", "share"),
    [(512, 64 / 108), (2048, 512 / 540), (3072, 768 / 864), (1, 1 / 128 * 32 / 108)],
)
def test_products_of_few_rows_do_not_fill_a_gpu(rows: int, share: float):
    """4096 columns on 108 multiprocessors: 32 tiles of 128 columns for each 128 rows, or 16 of 256."""
    assert full_share(rows, 4096, gpu_of(ClusterConfig())) == pytest.approx(share)


def test_adapters_cost_the_memorys_time_in_addition_to_their_products(plan):
    none, lora = (
        plan(*LORA_8B, *ONE_GPU, "trainer.packing=false", f"plugins.lora.target_modules={names}").time
        for names in ("[q_proj]", "all-linear")
    )
    assert 1.1 < lora.compute_s / none.compute_s < 1.4


@pytest.mark.parametrize(
    ("cluster", "name", "memory", "fitted"),
    [
        ({}, "A100", 2039, True),
        ({"gpu_memory_gib": 40.0}, "A100", 1555, True),
        ({"gpu_tflops": 990.0}, "H100", 3350, True),
        ({"gpu_type": "nvidia_h200"}, "H200", 4800, False),
        ({"gpu_type": "gh200", "gpu_tflops": 900.0}, "GH200", 4000, False),
        ({"gpu_tflops": 624.0}, "GPU of 624 TFLOP/s", 4078, False),
        ({"gpu_type": "3g.40gb", "gpu_memory_gb_s": 777.0}, "A100", 777, True),
    ],
)
def test_the_gpu_of_a_cluster_is_found_by_its_type_or_its_peak(cluster, name, memory, fitted):
    gpu = gpu_of(ClusterConfig(**cluster))
    assert (gpu.name, gpu.memory_gb_s, gpu.fitted) == (name, memory, fitted)
    assert gpu.tflops == cluster.get("gpu_tflops", gpu.tflops)


def test_a_slow_network_makes_a_sharded_step_longer_and_leaves_a_replicated_one(plan):
    two_nodes = (*LORA_8B, "resources.nodes=2")
    for strategy, longer in (("fsdp2", True), ("ddp", False)):
        fast, slow = (
            plan(*two_nodes, f"strategy={strategy}", f"cluster.network_gb_s={speed}").time.step_s
            for speed in (100, 1)
        )
        assert (slow > 2 * fast) is longer


def test_steps_follow_from_the_rows_and_epochs(plan):
    made = plan(*LORA_8B, "trainer.packing=false", rows=6400, mean_tokens=1000)
    assert made.time.steps == 6400 * 2 // 64
    packed = plan(*LORA_8B, rows=6400, mean_tokens=1000)
    assert packed.time.steps == math.ceil(math.ceil(6400 * 1000 / 4096) * 2 / 64)
    assert made.time.total_h == pytest.approx(made.time.steps * made.time.step_s / 3600, rel=1e-2)
    assert plan(*LORA_8B).time.total_h is None
    assert plan(*LORA_8B, "trainer.max_steps=7").time.steps == 7


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("30", 1800), ("1:30", 90), ("04:00:00", 14_400), ("1-12", 129_600), ("2-0:30", 174_600), ("1-01:01:01", 90_061),
    ],
)  # fmt: skip
def test_slurm_times_are_read_as_slurm_reads_them(time: str, seconds: int):
    assert limit_s(time) == seconds


def test_gpu_hours_and_money_follow_from_the_time(compose, plan):
    overrides = (*LORA_8B, "trainer.max_steps=100", "cluster.price_per_gpu_hour=2.5")
    course = expect(compose(*overrides), plan(*overrides))
    assert not course.cut and course.attempts == 1
    assert course.gpu_hours == pytest.approx(4 * course.wall_h, rel=1e-2)
    assert course.money == pytest.approx(2.5 * course.gpu_hours, rel=1e-2)


def test_a_time_limit_that_is_too_short_takes_several_attempts_or_never_ends_without_saves(compose, plan):
    short = (*LORA_8B, "trainer.max_steps=2000", "resources.time=02:00:00")
    course = expect(compose(*short), plan(*short))
    assert course.cut and course.attempts > 2
    assert course.wall_h > plan(*short).time.total_h
    unsaved = (*short, "plugin=[lora,gradient_checkpointing]")
    course = expect(compose(*unsaved), plan(*unsaved))
    assert course.cut and course.attempts is None and course.gpu_hours is None


def test_a_run_that_saves_before_its_limit_loses_the_notice_and_not_half_an_interval(compose, plan):
    long = ("+experiment=llama70b_qlora", "trainer.max_steps=500", "resources.time=00:25:00")
    made = plan(*long)
    told, course = int(made.job_options["signal"].removeprefix("B:USR1@")), expect(compose(*long), made)
    assert made.save.save_steps * made.time.step_s / 2 > 1500  # half an interval is more than the limit
    restart_s = made.facts.restart_s
    useful_s = made.time.total_h * 3600 / made.save.effective_training_time
    assert course.attempts == math.ceil(useful_s / (1500 - restart_s - told))
    assert course.wall_h * 3600 == pytest.approx(
        restart_s + useful_s + (course.attempts - 1) * (restart_s + told), rel=1e-3
    )
    steps_alone = (
        "+cluster.sbatch.signal=USR1@600"  # the batch script, and with it the supervisor, is not told
    )
    assert expect(compose(*long), plan(*long, steps_alone)).attempts is None
    assert expect(compose(*long), plan(*long, cluster="allocation")).attempts is None
    told = dict(estimate_lines(compose(*long), plan(*long, steps_alone)))["queue"]
    assert "never finishes" in told and "raise resources.time" in told and "sharded_checkpoint" not in told


def test_spares_are_paid_for_as_the_nodes_that_train(compose, plan):
    overrides = (*LORA_8B, "trainer.max_steps=100", "cluster.price_per_gpu_hour=2.5", "resources.nodes=2")
    alone, spared = (
        expect(compose(*overrides, *more), plan(*overrides, *more)) for more in ((), ("resources.spares=1",))
    )
    assert spared.wall_h == alone.wall_h
    assert spared.gpu_hours == pytest.approx(alone.gpu_hours * 3 / 2, rel=1e-3)
    assert spared.money == pytest.approx(alone.money * 3 / 2, rel=1e-3)


def test_70b_on_one_24_gb_gpu_points_to_two_with_offload_or_one_of_48(compose, plan):
    overrides = (*QLORA_70B, *ONE_GPU, "cluster.gpu_memory_gib=24")
    made = plan(*overrides)
    found = {one.kind: one for one in find_alternatives(compose(*overrides), made)}
    assert made.memory.total > 24
    assert found["fewest_gpus"].gpus == 2
    assert "strategy=fsdp2_offload" in found["fewest_gpus"].overrides
    assert found["larger_gpu"].overrides == ("cluster.gpu_memory_gib=48",)


@pytest.mark.parametrize("kind", ["cheapest", "largest_micro_batch", "longest_context", "fewest_gpus"])
def test_an_alternative_is_as_good_as_its_own_plan_says(compose, plan, kind: str):
    overrides = ("+experiment=llama8b_full_zero3", "cluster.gpu_memory_gib=79")
    found = {one.kind: one for one in find_alternatives(compose(*overrides), plan(*overrides))}[kind]
    typed = [override.strip("'") for override in found.overrides]
    made = plan(*overrides, *typed)
    assert made.memory.total == pytest.approx(found.total_gib, abs=0.01)
    assert made.memory.total <= 79
    assert made.topology.world_size == found.gpus
    assert made.time.step_s == pytest.approx(found.step_s, rel=1e-3)


def test_a_lora_that_does_not_fit_is_told_what_qlora_would_take(compose, plan):
    overrides = ("+experiment=llama8b_lora", "cluster.gpu_memory_gib=16", "plugins.lora.r=8")
    made = plan(*overrides)
    found = {one.kind: one for one in find_alternatives(compose(*overrides), made)}["four_bit"]
    assert made.memory.total > 16 >= found.total_gib
    assert "plugins.qlora.r=8" in found.overrides
    typed = [override.strip("'") for override in found.overrides]
    again = plan(overrides[0], overrides[1], *typed)
    assert again.adapter.four_bit and again.adapter.r == 8
    assert again.memory.total == pytest.approx(found.total_gib, abs=0.01)
    assert "four_bit" not in {one.kind for one in find_alternatives(compose(*QLORA_70B), plan(*QLORA_70B))}


def test_qlora_instead_of_lora_keeps_all_settings_of_the_adapter(compose, plan):
    adapter = (
        "plugins.lora.modules_to_save=[lm_head]",
        "plugins.lora.target_modules=[q_proj,v_proj]",
        "plugins.lora.use_dora=true",
    )
    overrides = ("+experiment=llama8b_lora", "cluster.gpu_memory_gib=20", *adapter)
    found = {one.kind: one for one in find_alternatives(compose(*overrides), plan(*overrides))}["four_bit"]
    again = plan(*overrides[:2], *(override.strip("'") for override in found.overrides))
    kept = dataclasses.replace(plan(*overrides).adapter, four_bit=True, double_quant=True)
    assert again.adapter == kept
    assert again.memory.total == pytest.approx(found.total_gib, abs=0.01)


@pytest.mark.parametrize("name", ["lora", "qlora"])
def test_the_options_of_an_adapter_are_those_that_are_shipped(name: str):
    shipped = OmegaConf.load(resource_dir("conf") / "plugin" / f"{name}.yaml")
    options = {field.name: field.default for field in dataclasses.fields(LoRAOptions)}
    assert {key: shipped[key] for key in options} == options


def test_one_more_than_the_largest_micro_batch_or_context_does_not_fit(compose, plan):
    overrides = ("+experiment=llama8b_lora", "cluster.gpu_memory_gib=40")
    found = {one.kind: one for one in find_alternatives(compose(*overrides), plan(*overrides))}
    (micro,) = found["largest_micro_batch"].overrides
    more = f"batch.micro_batch_size={2 * int(micro.partition('=')[2])}"
    assert plan(*overrides, more).memory.total > 40
    (length,) = found["longest_context"].overrides
    assert plan(*overrides, f"model.max_length={int(length.partition('=')[2]) + 256}").memory.total > 40


def test_auto_takes_the_fastest_setting_that_fits_and_says_why(plan):
    roomy = plan(*LORA_8B, "strategy=auto", "cluster.gpu_memory_gib=79")
    assert roomy.strategy.name == "ddp"
    assert roomy.chosen.startswith("strategy=auto: ddp with micro-batch 2 is the fastest")
    tight = plan("+experiment=llama8b_full_zero3", "strategy=auto", "cluster.gpu_memory_gib=60")
    assert tight.strategy.shards_weights or tight.strategy.zero_stage
    assert tight.memory.total <= 60


def test_auto_leaves_nothing_faster_that_fits(plan):
    overrides = ("+experiment=llama8b_full_zero3", "cluster.gpu_memory_gib=79")
    chosen = plan(*overrides, "strategy=auto", "batch.micro_batch_size=auto")
    for strategy in ("ddp", "zero1", "zero2", "zero3", "fsdp2"):
        for micro in (1, 2, 4, 8):
            other = plan(*overrides, f"strategy={strategy}", f"batch.micro_batch_size={micro}")
            if other.memory.total <= 0.9 * 79:
                assert chosen.time.step_s <= other.time.step_s * (1 + SAME)


LONG_8B = (
    "+experiment=llama8b_full_zero3", "cluster.gpu_memory_gib=79", "model.attn_implementation=flash_attention_2",
    "model.max_length=262144", "resources.nodes=2", "resources.gpus_per_node=8", "batch.micro_batch_size=1",
)  # fmt: skip


def test_auto_shares_sequences_that_do_not_fit_one_gpu_and_leaves_nothing_faster(plan):
    chosen = plan(*LONG_8B, "strategy=auto")
    assert chosen.degrees.sequence > 1 and chosen.memory.total <= 0.9 * 79
    assert f"sequences shared by {chosen.degrees.sequence} GPUs" in chosen.chosen
    for strategy in ("zero1", "zero2", "zero3", "fsdp2"):
        for degree in (1, 2, 4, 8, 16):
            other = plan(*LONG_8B, f"strategy={strategy}", f"strategy.sequence_parallel_size={degree}")
            if other.memory.total <= 0.9 * 79:
                assert chosen.time.step_s <= other.time.step_s * (1 + SAME)


def test_auto_keeps_a_typed_number_of_ranks_that_share_a_sequence(plan):
    assert plan(*LONG_8B, "strategy=auto", "strategy.sequence_parallel_size=8").degrees.sequence == 8


def test_auto_shares_sequences_if_a_step_has_fewer_of_them_than_ranks(plan):
    made = plan(*LONG_8B, "strategy=auto", "model.max_length=8192", "batch.global_batch_size=4")
    assert made.degrees.sequence >= 4 and made.batch.gradient_accumulation_steps >= 1


def test_auto_refuses_a_batch_that_no_degree_can_divide_by_the_batch(plan):
    with pytest.raises(PlanError, match=r"batch.global_batch_size=4 is not a multiple") as refused:
        plan(*LONG_8B, "strategy=auto", "trainer=dpo", "data.path=null", "batch.global_batch_size=4")
    assert "sequence_parallel_size" not in str(refused.value)


@pytest.mark.parametrize("overrides", [(), ("strategy=auto",)])
def test_auto_takes_no_micro_batch_that_a_rule_forbids(plan, overrides: tuple[str, ...]):
    kto = (*LORA_8B, "trainer=kto", "data.path=null", "cluster.gpu_memory_gib=79")
    made = plan(*kto, *overrides, "batch.micro_batch_size=auto")
    assert made.batch.micro_batch_size >= 2 and made.memory.total <= 79


def test_auto_on_the_smallest_micro_batch_says_what_it_cannot_choose(plan):
    with pytest.raises(PlanError, match=r"^trainer.learning_rate=0"):
        plan(*LORA_8B, "batch.micro_batch_size=auto", "trainer.learning_rate=0")


@pytest.mark.parametrize("epochs", ["0", "-1", "inf", "nan"])
@pytest.mark.parametrize("steps", [-1, 8])
def test_epochs_must_be_a_number_above_0(plan, epochs: str, steps: int):
    with pytest.raises(PlanError, match=r"num_train_epochs=.* must be a number above 0"):
        plan(*LORA_8B, f"trainer.num_train_epochs={epochs}", f"trainer.max_steps={steps}")


def test_auto_decides_alike_every_time(plan):
    overrides = (
        *QLORA_70B, "strategy=auto", "batch.micro_batch_size=auto", "cluster.gpu_memory_gib=79", "resources.gpus_per_node=8",
    )  # fmt: skip
    assert plan(*overrides).to_dict() == plan(*overrides).to_dict()


HEAD_70B = (
    "+experiment=llama70b_lora_zero3",
    "cluster.gpu_memory_gib=80",
    "plugins.lora.modules_to_save=[lm_head]",
)
EIGHT_BIT = ("+experiment=llama8b_full_zero3", "cluster.gpu_memory_gib=60", "trainer.optim=adamw_8bit")


@pytest.mark.parametrize("overrides", [HEAD_70B, EIGHT_BIT])
def test_auto_takes_no_strategy_that_a_rule_forbids(plan, overrides: tuple[str, ...]):
    assert plan(*overrides, "strategy=auto").chosen


@pytest.mark.parametrize(
    "overrides", [HEAD_70B, (*EIGHT_BIT, "strategy=ddp"), (*EIGHT_BIT, "plugin=[gradient_checkpointing]")]
)
def test_no_alternative_breaks_a_rule(compose, plan, overrides: tuple[str, ...]):
    for found in find_alternatives(compose(*overrides), plan(*overrides)):
        if found.kind != "four_bit":  # typed in the place of plugins.lora's keys, not beside them
            assert plan(*overrides, *(override.strip("'") for override in found.overrides))


def test_the_largest_micro_batch_breaks_no_rule(compose, plan):
    grpo = (
        "+experiment=llama8b_lora", "trainer=grpo", "data.path=null", "data.eval_path=eval.jsonl", "trainer.num_generations=6",
        "trainer.reward_functions=[{_target_: rewards.length}]", "resources.gpus_per_node=1", "batch.global_batch_size=24",
        "batch.micro_batch_size=6", "cluster.gpu_memory_gib=141",
    )  # fmt: skip
    overrides = (*grpo, "model.max_length=2048")
    found = {one.kind: one for one in find_alternatives(compose(*overrides), plan(*overrides))}
    (micro,) = found["largest_micro_batch"].overrides
    assert plan(*overrides, micro).batch.micro_batch_size % 6 == 0


def test_auto_without_the_size_of_a_gpu_is_refused(plan):
    with pytest.raises(PlanError, match=r"strategy=auto needs cluster.gpu_memory_gib"):
        plan("+experiment=llama8b_lora", "strategy=auto")


def test_auto_on_cpu_ranks_shards_nothing(plan):
    made = plan("+experiment=tiny", "strategy=auto", "batch.micro_batch_size=auto", device="cpu")
    assert (made.strategy.name, made.batch.micro_batch_size) == ("ddp", 1)
    assert "CPU" in made.chosen
    typed = plan("+experiment=tiny", "strategy=auto", "batch.micro_batch_size=2", device="cpu")
    assert typed.batch.micro_batch_size == 2 and "with micro-batch 2" in typed.chosen


def test_a_plan_close_to_the_limit_is_warned_of_and_one_far_from_it_is_not(compose, plan):
    total = plan("+experiment=llama8b_lora").memory.total
    for size, warned in ((total * 1.05, True), (total * 1.3, False)):
        overrides = ("+experiment=llama8b_lora", f"cluster.gpu_memory_gib={size:.2f}")
        assert (close_call(compose(*overrides), plan(*overrides)) is not None) is warned


def test_gpus_without_cores_are_warned_of_with_what_slurm_gives_and_what_to_set(plan):
    none = ("+experiment=llama8b_lora", "resources.cpus_per_gpu=null")
    said = few_cores(plan(*none))
    assert (
        "=null requests no cores from Slurm: the 4 ranks of each node get one core and that core's memory"
        in said
    )
    assert "set resources.cpus_per_gpu=8 (and resources.memory_gib=0" in said
    assert few_cores(plan("+experiment=tiny", "++cluster.sbatch={exclusive:null,mem-per-gpu:100G}"))
    for site in ("cpus-per-gpu:8", "exclusive:true"):
        assert few_cores(plan(*none, f"++cluster.sbatch={{{site}}}")) is None
    assert few_cores(plan("+experiment=llama8b_lora")) is None
    assert few_cores(plan(*none, cluster="local")) is few_cores(plan(*none, cluster="allocation")) is None
    assert few_cores(plan("+experiment=tiny", device="cpu")) is None


@pytest.mark.parametrize(
    ("optim", "bytes_a_parameter"),
    [
        ("adamw_torch", 8), ("adamw_torch_fused", 8), ("adamw_8bit", 2), ("lion_32bit", 4), ("sgd", 0), ("adafactor", 0),
    ],
)  # fmt: skip
def test_an_optimizer_takes_its_bytes_a_parameter(plan, optim: str, bytes_a_parameter: int):
    one = plan("+experiment=llama8b_full_zero3", "strategy=ddp", "plugin=[]", f"trainer.optim={optim}")
    embedding = 128_256 * 4096 * 6 if optim == "adamw_8bit" else 0  # bitsandbytes leaves it in 32 bits
    told = one.memory.parts["optimizer"] * 2**30 - embedding
    assert told == pytest.approx(bytes_a_parameter * one.model.parameters, rel=0.02, abs=2e8)


def test_muon_keeps_one_moment_of_the_matrices_of_hidden_layers_and_computes_longer(plan):
    muon, adamw = (
        plan("+experiment=llama8b_full_zero3", "strategy=fsdp2", "plugin=[]", f"trainer.optim={optim}")
        for optim in ("muon", "adamw_torch")
    )
    ranks = muon.degrees.shard_size
    tables, norms = 2 * 128_256 * 4096, 65 * 4096
    hidden = muon.model.parameters - tables - norms
    told = muon.memory.parts["optimizer"] * 2**30 * ranks
    assert told == pytest.approx(4 * hidden + 8 * (tables + norms), rel=1e-3)
    assert muon.memory.parts["optimizer"] < 0.6 * adamw.memory.parts["optimizer"]
    assert muon.time.compute_s > adamw.time.compute_s


def test_a_paged_optimizer_counts_on_the_host(plan):
    plain, paged = (
        plan("+experiment=llama8b_full_zero3", "strategy=ddp", "plugin=[]", f"trainer.optim={optim}")
        for optim in ("adamw_8bit", "paged_adamw_8bit")
    )
    assert paged.memory.parts["optimizer"] < 0.1 < plain.memory.parts["optimizer"]


def test_an_optimizer_that_is_not_known_gives_no_estimate(plan):
    assert plan("+experiment=llama8b_lora", "plugin=[lora]", "trainer.optim=lomo").memory is None


def test_offloading_moves_memory_from_gpus_to_the_host(plan):
    kept, moved = (
        plan("+experiment=llama8b_full_zero3", f"strategy={strategy}")
        for strategy in ("zero3", "zero3_offload")
    )
    assert moved.memory.total < kept.memory.total
    assert moved.room.host_gib > kept.room.host_gib
    assert moved.time.step_s > kept.time.step_s


def test_deepspeeds_buckets_are_no_larger_than_what_is_trained(plan):
    lora = plan("+experiment=llama8b_lora", "strategy=zero2")
    assert lora.deepspeed["zero_optimization"]["reduce_bucket_size"] == lora.model.trainable_parameters
    full = [plan("+experiment=llama8b_full_zero3", f"strategy=zero{stage}").deepspeed for stage in (2, 3)]
    assert [one["zero_optimization"]["reduce_bucket_size"] for one in full] == [500_000_000, 4096 * 4096]


def test_json_has_every_estimate_by_its_name(cli):
    overrides = ("+experiment=llama70b_qlora", "cluster=slurm", "cluster.gpu_memory_gib=79")
    told = json.loads(cli("plan", *overrides, "cluster.price_per_gpu_hour=2", "--json").stdout)
    assert {"fits", "gpu_gib", "host_gib", "host_fits", "node_gib", "per_gpu_gib", "checkpoint_gib"} == set(
        told["memory"]
    )
    assert {"step_s", "tokens_per_s", "total_h"} <= set(told["time"])
    assert set(told["cost"]) == {"gpu_hours", "money"}
    assert told["cost"]["money"] == pytest.approx(2 * told["cost"]["gpu_hours"], rel=1e-3)
    assert {one["kind"] for one in told["alternatives"]} >= {"cheapest", "longest_context", "fewest_gpus"}


def test_a_sweep_is_a_table_with_a_row_for_every_combination(cli):
    overrides = ("+experiment=llama8b_lora", "cluster=slurm", "cluster.gpu_memory_gib=79")
    swept = ("resources.nodes=1,2,3", "strategy=zero2,zero3")
    rows = json.loads(cli("plan", *overrides, "--sweep", *swept, "--json").stdout)
    settings = [tuple(row["settings"].values()) for row in rows]
    assert settings == [(nodes, strategy) for nodes in "123" for strategy in ("zero2", "zero3")]
    assert [row["refused"] is None for row in rows] == [True, True, True, True, False, False]
    assert all(row["fits"] and row["step_s"] for row in rows[:4])
    assert "not a multiple" in rows[4]["refused"]
    table = cli("plan", *overrides, "--sweep", *swept).stdout
    assert "GPU-hours" in table and "strategy" in table


def test_a_launch_chooses_as_the_plan_did(cli, tmp_path):
    overrides = ("+experiment=llama8b_lora", "cluster=slurm", "cluster.gpu_memory_gib=79", "strategy=auto")
    assert cli(*overrides, "dry_run=true").returncode == 0
    (plan,) = tmp_path.glob("runs/*/*/plan.json")
    written = json.loads(plan.read_text())
    assert written["strategy"]["name"] == "ddp" and written["chosen"].startswith("strategy=auto")


def test_a_wrong_micro_batch_size_is_refused(plan):
    with pytest.raises(PlanError, match=r"batch.micro_batch_size=many must be a whole number, or auto"):
        plan("+experiment=llama8b_lora", "batch.micro_batch_size=many")


def test_estimates_do_not_depend_on_what_was_estimated_before(plan):
    first = plan("+experiment=llama8b_lora").memory
    plan("+experiment=llama8b_lora", "plugins.lora.r=64")
    assert plan("+experiment=llama8b_lora").memory == first
