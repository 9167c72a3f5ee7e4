"""Config -> LaunchPlan: the arithmetic, and one number in one place."""

import json
import re

import pytest

from launcher.errors import PlanError
from launcher.launching.earlier_runs import measured
from launcher.launching.summary import cannot_save
from launcher.plan.model import read_architecture
from launcher.plan.topology import Topology, make_batch, make_topology
from launcher.plugins.decide import read_run
from launcher.resources import resource_dir
from launcher.run import RunDir
from launcher.run.events.checkpoints import Saved
from launcher.run.events.ranks import Measured

EXPERIMENTS = [path.stem for path in sorted((resource_dir("conf") / "experiment").glob("*.yaml"))]
DEEPSPEED = ["zero1", "zero2", "zero3", "zero3_offload"]
STRATEGIES = ["ddp", *DEEPSPEED, "fsdp2"]
LAYOUT = [
    "resources.nodes=2",
    "resources.gpus_per_node=4",
    "batch.global_batch_size=48",
    "batch.micro_batch_size=3",
]


def test_world_size_is_nodes_times_gpus_per_node():
    assert make_topology(4, 8, gpus_on_a_node=8, cuda=True).world_size == 32


def test_cpu_ranks_are_not_limited_by_the_gpus_of_a_node():
    assert make_topology(1, 8, gpus_on_a_node=0, cuda=False) == Topology(nodes=1, gpus_per_node=8)


@pytest.mark.parametrize(("nodes", "gpus"), [(0, 1), (1, 0), (-1, 1)])
def test_fewer_than_one_node_or_gpu_is_refused(nodes: int, gpus: int):
    with pytest.raises(PlanError, match="must be at least 1"):
        make_topology(nodes, gpus, gpus_on_a_node=None, cuda=True)


@pytest.mark.parametrize(("nodes", "gpus", "on_a_node"), [(1, 8, 4), (2, 8, 4), (1, 9, 4), (3, 5, 2)])
def test_the_topology_proposed_for_too_many_gpus_a_node_has_room_for_them(
    nodes: int, gpus: int, on_a_node: int
):
    with pytest.raises(PlanError) as refusal:
        make_topology(nodes, gpus, on_a_node, cuda=True)
    proposed = re.search(r"use resources.nodes=(\d+) resources.gpus_per_node=(\d+)", str(refusal.value))
    assert proposed
    assert make_topology(int(proposed[1]), int(proposed[2]), on_a_node, cuda=True).world_size >= nodes * gpus


def test_gradient_accumulation_is_what_remains_of_the_global_batch():
    assert make_batch(64, 2, data_parallel_size=8).gradient_accumulation_steps == 4


@pytest.mark.parametrize(
    ("size", "micro", "world"), [(100, 1, 32), (5, 2, 1), (3, 4, 2), (1, 1, 16), (97, 3, 7)]
)
def test_both_batch_sizes_proposed_for_an_uneven_one_work(size: int, micro: int, world: int):
    with pytest.raises(PlanError) as refusal:
        make_batch(size, micro, world)
    others, _, same = str(refusal.value).rpartition("; use ")[2].partition(", or keep it with ")
    proposed = [int(number) for number in re.findall(r"\d+", others)]
    assert len(set(proposed)) == 2
    for good in proposed:
        assert make_batch(good, micro, world).gradient_accumulation_steps * micro * world == good
    if way := re.search(r"(micro_batch_size=)?(\d+)", same):
        number = int(way[2])
        assert make_batch(size, *((number, world) if way[1] else (micro, number))).global_batch_size == size


@pytest.mark.parametrize("key", ["batch.global_batch_size", "batch.micro_batch_size"])
def test_a_batch_of_nothing_is_refused(plan, key: str):
    with pytest.raises(PlanError, match=f"{key}=0 must be at least 1"):
        plan("+experiment=tiny", f"{key}=0")


@pytest.mark.parametrize(
    ("experiment", "parameters"),
    [
        ("llama8b_lora", 8_030_261_248),
        ("llama8b_full_zero3", 8_030_261_248),
        ("llama70b_qlora", 70_553_706_496),
        ("quickstart", 134_515_008),
    ],
)
def test_parameters_are_counted_from_the_shape(plan, experiment: str, parameters: int):
    assert plan(f"+experiment={experiment}").model.parameters == parameters


def test_lora_on_all_linear_layers_of_8b_trains_41943040_parameters(plan):
    assert plan("+experiment=llama8b_lora", "plugins.lora.r=16").model.trainable_parameters == 41_943_040


def test_lora_on_the_attention_of_8b_trains_13631488_parameters(plan):
    attention = "plugins.lora.target_modules=[q_proj,k_proj,v_proj,o_proj]"
    assert (
        plan("+experiment=llama8b_lora", "plugins.lora.r=16", attention).model.trainable_parameters
        == 13_631_488
    )


def test_a_full_fine_tune_trains_every_parameter(plan):
    model = plan("+experiment=llama8b_full_zero3").model
    assert model.trainable_parameters == model.parameters


def test_lora_on_a_layer_that_the_model_lacks_names_the_nearest(plan):
    with pytest.raises(
        PlanError, match=r"plugins\.lora\.target_modules: unknown layer 'q_porj'; did you mean q_proj\?"
    ):
        plan("+experiment=llama8b_lora", "plugins.lora.target_modules=[q_porj]")


def test_an_unknown_shape_leaves_the_counts_open(plan):
    model = plan("+experiment=tiny", "model.init=pretrained", architecture=None).model
    assert (model.parameters, model.trainable_parameters) == (None, None)


def test_qwen2_has_biases_on_q_k_and_v():
    shape = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 8,
    }
    qwen2 = read_architecture({**shape, "model_type": "qwen2"})
    assert qwen2 and qwen2.attention_bias


def test_a_config_json_of_another_family_is_not_counted():
    assert read_architecture({"model_type": "gpt2", "num_attention_heads": 4}) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_is_called_by_the_name_of_its_file(plan, strategy: str):
    assert plan("+experiment=llama8b_lora", f"strategy={strategy}").strategy.name == strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batch_sizes_agree_wherever_they_are_set(plan, strategy: str):
    made = plan("+experiment=llama8b_lora", f"strategy={strategy}", *LAYOUT)
    trainer, deepspeed = made.trainer_args, made.deepspeed
    told = {(trainer["per_device_train_batch_size"], trainer["gradient_accumulation_steps"])}
    if deepspeed:
        told.add((deepspeed["train_micro_batch_size_per_gpu"], deepspeed["gradient_accumulation_steps"]))
        assert deepspeed["train_batch_size"] == 48
    assert told == {(made.batch.micro_batch_size, made.batch.gradient_accumulation_steps)} == {(3, 2)}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_world_size_agrees_wherever_it_is_set(plan, strategy: str):
    made = plan("+experiment=llama8b_lora", f"strategy={strategy}", *LAYOUT)
    assert (
        (made.accelerate["num_machines"], made.accelerate["num_processes"])
        == (2, made.topology.world_size)
        == (2, 8)
    )
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} <= set(made.step_options)
    assert (
        made.job_options["nodes"],
        made.job_options["ntasks-per-node"],
        made.job_options["gpus-per-node"],
    ) == (
        "2",
        "1",
        "4",
    )


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_precision_agrees_wherever_it_is_set(plan, strategy: str, precision: str):
    made = plan("+experiment=llama8b_lora", f"strategy={strategy}", f"trainer.precision={precision}")
    told = {made.trainer_args["bf16"], made.mixed_precision == "bf16"}
    if made.deepspeed:
        told.add(made.deepspeed["bf16"]["enabled"])
        assert "mixed_precision" not in made.accelerate  # accelerate refuses it beside deepspeed.json
    else:
        told.add(made.accelerate["mixed_precision"] == "bf16")
    assert told == {precision == "bf16"}


@pytest.mark.parametrize(
    ("strategy", "stage"), [("zero1", 1), ("zero2", 2), ("zero3", 3), ("zero3_offload", 3)]
)
def test_the_zero_stage_agrees_wherever_it_is_set(plan, strategy: str, stage: int):
    made = plan("+experiment=llama8b_lora", f"strategy={strategy}")
    assert made.strategy.zero_stage == made.deepspeed["zero_optimization"]["stage"] == stage
    assert made.accelerate["deepspeed_config"]["zero3_init_flag"] is (stage == 3)


@pytest.mark.parametrize("strategy", DEEPSPEED)
def test_deepspeed_never_starts_ranks_over_ssh(plan, strategy: str):
    told = plan("+experiment=llama8b_lora", f"strategy={strategy}").accelerate["deepspeed_config"]
    assert told["deepspeed_multinode_launcher"] == "standard"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_deepspeed_has_no_file_where_it_is_not_used(plan, strategy: str):
    assert plan("+experiment=llama8b_lora", f"strategy={strategy}").deepspeed is None


def test_zero3_gathers_the_weights_for_the_export(plan):
    zero = plan("+experiment=llama8b_full_zero3").deepspeed["zero_optimization"]
    assert zero["stage3_gather_16bit_weights_on_model_save"] is True


def test_offload_goes_to_host_memory(plan):
    zero = plan("+experiment=llama8b_lora", "strategy=zero3_offload").deepspeed["zero_optimization"]
    assert zero["offload_optimizer"]["device"] == zero["offload_param"]["device"] == "cpu"


def test_fsdp2_is_set_in_the_trainer_and_in_accelerate_alike(plan):
    made = plan("+experiment=llama8b_lora", "strategy=fsdp2", "strategy.offload_param=true")
    trainer, accelerate = made.trainer_args["fsdp_config"], made.accelerate["fsdp_config"]
    assert trainer["version"] == accelerate["fsdp_version"] == 2
    assert trainer["cpu_offload"] is accelerate["fsdp_offload_params"] is True


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["strategy=zero1", "strategy.zero_stage=4"], "strategy.zero_stage=4 must be 1, 2 or 3"),
        (["strategy=ddp", "strategy.zero_stage=2"], "use strategy=zero2"),
        (["strategy=ddp", "strategy.zero_stage=7"], "is not a ZeRO stage"),
        (["strategy=zero2", "strategy.offload_param=true"], "needs strategy.zero_stage=3"),
        (["strategy=ddp", "strategy.offload_optimizer=true"], "has no effect with strategy=ddp"),
        (["strategy=fsdp2", "strategy.offload_optimizer=true"], "use strategy.offload_param=true"),
    ],
)
def test_settings_of_a_strategy_that_exclude_each_other_are_refused(plan, overrides: list[str], said: str):
    with pytest.raises(PlanError, match=re.escape(said)):
        plan("+experiment=llama8b_lora", *overrides)


def test_auto_precision_is_bf16_on_a_gpu_and_fp32_on_a_cpu(plan):
    assert plan("+experiment=tiny").precision == "bf16"
    assert plan("+experiment=tiny", device="cpu").precision == "fp32"


def test_bf16_on_a_cpu_is_bf16_weights_without_autocast(plan):
    made = plan("+experiment=tiny", "trainer.precision=bf16", device="cpu")
    assert (made.weights_dtype, made.mixed_precision) == ("bfloat16", "no")


def test_bf16_full_fine_tune_keeps_its_master_weights_in_fp32(plan):
    made = plan("+experiment=llama8b_full_zero3")
    assert (made.weights_dtype, made.mixed_precision) == ("float32", "bf16")


def test_a_cpu_run_asks_slurm_for_no_gpu(plan):
    made = plan("+experiment=tiny", device="cpu")
    assert not any("gpu" in flag or "gres" in flag for flag in made.job_options)


def test_a_site_may_count_gpus_by_gres(plan):
    options = plan("+experiment=llama8b_lora", "cluster.gpu_request=gres").job_options
    assert options["gres"] == "gpu:4"
    assert "gpus-per-node" not in options


def test_no_gib_of_memory_is_all_of_a_node_as_in_slurm(plan):
    for asked, option in ((0, "0"), (500, "500G")):
        assert plan("+experiment=tiny", f"resources.memory_gib={asked}").job_options["mem"] == option
    assert "mem" not in plan("+experiment=tiny").job_options


def test_cores_and_memory_are_requested_in_one_way_and_the_site_s_stands(plan):
    asked = ("+experiment=tiny", "resources.cpus_per_gpu=8", "resources.memory_gib=100")
    for site, left in (
        ("cpus-per-gpu:4", "mem"),
        ("mem-per-gpu:50G", "cpus-per-task"),
        ("mem-per-cpu:5G", "cpus-per-task"),
    ):
        options = plan(*asked, f"++cluster.sbatch={{{site}}}").job_options
        assert {"cpus-per-task", "mem"} & options.keys() == {left}
        assert options[site.split(":")[0]] == site.split(":")[1]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_on_several_gpus_asks_for_cores_and_runs_with_and_without_slurm(plan, experiment: str):
    one = plan(f"+experiment={experiment}")
    if one.topology.gpus_per_node > 1:
        assert int(one.job_options["cpus-per-task"]) == 8 * one.topology.gpus_per_node
    plan(f"+experiment={experiment}", "cluster=local", "resources.nodes=1", cluster="local")


@pytest.mark.parametrize("time", ["30", "90:00", "04:00:00", "1-12", "2-00:30:00"])
def test_every_spelling_of_a_time_that_slurm_reads_is_taken(plan, time: str):
    assert plan("+experiment=tiny", f'resources.time="{time}"').job_options["time"] == time


def test_sharded_checkpoints_let_slurm_start_the_job_again(plan):
    assert "requeue" in plan("+experiment=tiny").job_options


def test_a_site_that_forbids_requeue_has_the_last_word(plan):
    options = plan("+experiment=tiny", "++cluster.sbatch.no-requeue=true").job_options
    assert "no-requeue" in options
    assert "requeue" not in options


def test_plugins_are_applied_in_the_order_of_the_configuration(plan):
    both = ["plugin=[sharded_checkpoint,lora]", "plugins.sharded_checkpoint.save_steps=7"]
    made = plan("+experiment=tiny", *both)
    assert (made.save.save_steps, made.weights_dtype) == (7, "bfloat16")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plan_survives_json_unchanged(plan, strategy: str):
    values = plan("+experiment=llama8b_lora", f"strategy={strategy}").to_dict()
    assert json.loads(json.dumps(values)) == values


def test_the_same_configuration_makes_the_same_plan(plan):
    assert plan("+experiment=llama70b_qlora") == plan("+experiment=llama70b_qlora")


def test_a_plan_can_be_made_again_from_its_run_dir(cli, tmp_path):
    summary = json.loads(cli("+experiment=tiny", "cluster=local", "dry_run=true", "--json").stdout)
    run = RunDir(tmp_path / summary["run_dir"])
    assert read_run(run).plan.to_dict() == run.read_json(run.plan)


def test_plan_as_json_has_the_keys_that_scripts_read(cli):
    told = json.loads(cli("plan", "+experiment=llama70b_qlora", "cluster=slurm", "--json").stdout)
    assert {"run", "experiment", "cluster", "model", "precision", "files", "command"} <= told.keys()
    assert told["topology"] == {"nodes": 2, "gpus_per_node": 8, "world_size": 16}
    assert told["batch"] == {"global_batch_size": 64, "micro_batch_size": 1, "gradient_accumulation_steps": 4}
    assert {"name": "zero2", "zero_stage": 2}.items() <= told["strategy"].items()
    assert {"parameters": 70_553_706_496, "trainable_parameters": 207_093_760}.items() <= told[
        "model"
    ].items()


def test_the_notice_before_the_time_limit_is_planned_from_steps_and_saves(plan):
    assert plan("+experiment=tiny").job_options["signal"] == "B:USR1@150"
    long = plan("+experiment=llama70b_qlora")  # nothing is measured yet: the step is estimated
    assert int(long.job_options["signal"].removeprefix("B:USR1@")) > 2 * (
        2 * long.time.step_s + long.save.save_s
    )
    assert plan("+experiment=llama8b_lora", shutdown_s=100.0).job_options["signal"] == "B:USR1@290"


def test_what_does_not_fit_between_sigterm_and_sigkill_is_said(plan):
    assert cannot_save(plan("+experiment=llama8b_lora", shutdown_s=20.0)) is None
    said = cannot_save(plan("+experiment=llama8b_lora", shutdown_s=100.0))
    assert (
        said
        and "a pre-emption leaves no time to save" in said
        and "(measured)" in said
        and "KillWait is 30 s" in said
    )
    assert cannot_save(plan("+experiment=llama8b_lora", shutdown_s=100.0, kill_wait_s=120.0)) is None


def test_the_newest_run_of_the_name_says_how_long_a_shutdown_takes(tmp_path):
    run = RunDir(tmp_path / "mine" / "2026-01-01_00-00-00")
    run.path.mkdir(parents=True)
    run.plan.write_text("{}")
    assert measured(tmp_path, "mine")["shutdown_s"] == 0
    run.note(Measured(attempt=1, step=20, step_s=2.0, host_gib_by_rank=[1.0]))
    run.note(Saved(attempt=1, step=20, blocked_s=0.5, total_s=7.0))
    assert measured(tmp_path, "mine") == {"save_s": 0.5, "restart_s": 120.0, "shutdown_s": 11.0}
