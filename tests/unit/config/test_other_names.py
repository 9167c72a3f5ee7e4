"""A key of another tool is refused with the name that the key has here."""

import itertools
from collections import Counter

import pytest

from launcher.config.other_names import counterpart, counterparts
from launcher.config.schema import GROUPS
from launcher.errors import ConfigError, UsageError
from launcher.launching.compose import compose
from launcher.launching.explain import known_keys

TARGETS = {
    "lr": "trainer.learning_rate", "learning_rate": "trainer.learning_rate",
    "per_device_train_batch_size": "batch.micro_batch_size",
    "micro_batch_size": "batch.micro_batch_size", "gradient_accumulation_steps": "batch.global_batch_size",
    "bf16": "trainer.precision", "mixed_precision": "trainer.precision", "fp16": "trainer.precision",
    "warmup_ratio": "trainer.warmup_steps", "num_epochs": "trainer.num_train_epochs",
    "num_train_epochs": "trainer.num_train_epochs", "save_total_limit": "plugins.sharded_checkpoint.keep_last",
    "save_steps": "plugins.sharded_checkpoint.save_steps", "save_strategy": "plugins.sharded_checkpoint.save_steps",
    "eval_strategy": "trainer.eval_steps", "report_to": "tracker", "wandb_project": "tracker.project",
    "lora_alpha": "plugins.lora.alpha", "lora_r": "plugins.lora.r", "lora_rank": "plugins.lora.r",
    "lora_dropout": "plugins.lora.dropout", "lora_target_modules": "plugins.lora.target_modules",
    "load_in_4bit": "plugins.qlora", "bnb_4bit_quant_type": "plugins.qlora.quant_type",
    "neftune_noise_alpha": "plugins.neftune.noise_alpha", "max_seq_length": "model.max_length",
    "cutoff_len": "model.max_length", "sequence_len": "model.max_length",
    "num_gpus": "resources.gpus_per_node", "nproc_per_node": "resources.gpus_per_node",
    "nnodes": "resources.nodes", "num_machines": "resources.nodes", "partition": "cluster.sbatch.partition",
    "account": "cluster.sbatch.account", "qos": "cluster.sbatch.qos", "cpus_per_task": "resources.cpus_per_gpu",
    "mem": "resources.memory_gib", "base_model": "model.name_or_path", "model_name_or_path": "model.name_or_path",
    "flash_attention": "model.attn_implementation", "attn_impl": "model.attn_implementation", "optimizer": "trainer.optim",
    "lr_scheduler": "trainer.lr_scheduler_type", "clip_grad_norm": "trainer.max_grad_norm", "sample_packing": "trainer.packing",
    "train_on_inputs": "trainer.assistant_only_loss", "deepspeed": "strategy", "fsdp": "strategy",
    "zero_optimization.stage": "strategy.zero_stage", "gradient_checkpointing": "plugins.gradient_checkpointing",
    "use_liger_kernel": "plugins.liger", "output_dir": "runs_dir", "run_name": "name", "resume_from_checkpoint": "resume",
    "hub_token": None, "local_rank": None, "remove_unused_columns": None, "use_cpu": "resources.device",
    "bs": "batch.global_batch_size", "grad_accum": "batch.global_batch_size", "sequence_length": "model.max_length",
    "n_ctx": "model.max_length", "weights": "model.name_or_path", "base": "model.name_or_path", "training_data": "data.path",
    "train_path": "data.path", "val_file": "data.eval_path", "val_split": "data.eval_fraction",
    "lora_modules": "plugins.lora.target_modules", "quantize": "plugins.qlora", "nf4": "plugins.qlora",
    "use_amp": "trainer.precision", "world_size": "resources.gpus_per_node", "gpu": "resources.gpus_per_node",
    "zero": "strategy",
    "ddp": "strategy", "sharding": "strategy", "cp": "strategy.sequence_parallel_size", "tp": None,
    "context_parallel_size": "strategy.sequence_parallel_size", "ckpt_interval": "plugins.sharded_checkpoint.save_steps",
    "log_freq": "trainer.logging_steps", "use_wandb": "tracker", "tensorboard": "tracker",
    "grad_checkpointing": "plugins.gradient_checkpointing", "attn": "model.attn_implementation", "pack": "trainer.packing",
    "shuffle": None, "dpo": "trainer", "ref_model": None, "system_prompt": None, "prompt_template": "model.chat_template",
    "out": "runs_dir", "ema": None, "attention_dropout": None, "freeze_layers": None, "lora_plus": None,
    "rope_scaling": "model.rope_scaling.rope_type",
    "neftune": "plugins.neftune.noise_alpha", "epoch": "trainer.num_train_epochs", "lr_decay": "trainer.lr_scheduler_type",
    "merge_lora": None, "unsloth": "plugins.liger", "streaming": None, "verbose": None, "config": None, "ckpt": "resume",
    "dataset": "data.path", "reward_funcs": "trainer.reward_functions", "dpo_beta": "trainer.beta",
}  # fmt: skip


def test_every_target_is_a_key_that_exists():
    known = {*known_keys(), *GROUPS, *(".".join(key.split(".")[:2]) for key in known_keys())}
    free = ("cluster.sbatch.", "trainer.lr_scheduler_kwargs.")
    wrong = [
        one.key for one in counterparts() if one.key and one.key not in known and not one.key.startswith(free)
    ]
    assert not wrong


def test_there_are_at_least_120_names_and_each_has_one_meaning():
    names = Counter(name for one in counterparts() for name in one.names)
    assert len(names) >= 120
    assert not [name for name, times in names.items() if times > 1]
    assert not [one for one in counterparts() if not one.key and not one.note]


@pytest.mark.parametrize("name", TARGETS)
def test_a_name_leads_to_its_key(name):
    found = counterpart(name)
    assert found is not None
    assert found.key == TARGETS[name]


def test_a_name_is_found_below_any_group_and_with_other_spelling():
    forms = ["LR", "--learning-rate", "training_args.lr", "optimizer.lr", "+trainer.lr"]
    assert {found.key for found in map(counterpart, forms) if found} == {"trainer.learning_rate"}
    assert counterpart("lora.rank") == counterpart("lora_r")


def test_values_spelled_otherwise_are_converted():
    precision, inputs = counterpart("bf16"), counterpart("train_on_inputs")
    assert precision and inputs
    assert (precision.values["true"], inputs.values["true"]) == ("bf16", "false")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        *itertools.product(
            ["lr=1e-4", "+lr=1e-4", "++lr=1e-4", "trainer.lr=1", "training_args.lr=1", "+training_args.lr=1"],
            ["lr: here trainer.learning_rate"],
        ),
        ("optimizer=adamw", "optimizer: here trainer.optim"),
        ("per_device_train_batch_size=4", "per_device_train_batch_size: here batch.micro_batch_size"),
        ("lora_alpha=8", "lora_alpha: here plugins.lora.alpha with 'plugin=[lora]'"),
        ("lora_aplha=8", "lora_alpha: here plugins.lora.alpha with 'plugin=[lora]'"),
        ("hf_token=x", "hf_token: here nothing to set, secrets are inherited"),
    ],
)
def test_the_answer_is_one_line_with_the_key(typed, said):
    with pytest.raises(ConfigError) as refused:
        compose(["+experiment=tiny", typed])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_is_answered_as_the_command_line_is(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nname: x\ntrainer: {lr: 1e-4}\n")
    with pytest.raises(ConfigError, match=r"experiment/mine\.yaml: trainer\.lr: here trainer\.learning_rate"):
        compose(["--config-dir", str(tmp_path), "+experiment=mine"])


def test_an_option_of_another_tool_is_answered_too():
    with pytest.raises(UsageError, match=r"--learning_rate: here trainer\.learning_rate"):
        compose(["+experiment=tiny", "--learning_rate=1e-4"])
