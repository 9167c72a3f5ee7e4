"""python -m tests.benchmarks.longest_context: the longest context by the plan, beside published figures.

Nothing is measured here: both columns of ours are the planner's formulas for GPUs of 80 GB, and no length of them has been run.
"""

import sys
from dataclasses import dataclass

import hydra

from launcher.config import Config, register
from launcher.launching.composed import to_config
from launcher.plan import Facts
from launcher.plan.alternatives import find_alternatives
from launcher.plugins.decide import decide
from launcher.resources import resource_dir

GPU_GIB = 79
"""What a GPU sold with 80 GB offers."""
COMMON = ("cluster=slurm", f"cluster.gpu_memory_gib={GPU_GIB}", "cluster.gpus_per_node=8", "batch.micro_batch_size=1",
          "model.attn_implementation=flash_attention_2", "model.max_length=4096")  # fmt: skip
SETTINGS = {
    "8B, all weights, ZeRO-3": ("+experiment=llama8b_full_zero3",),
    "8B, all weights, ZeRO-3, activations in host memory": (
        "+experiment=llama8b_full_zero3", "trainer.activation_offloading=true",
    ),
    "8B, all weights, FSDP2, MLP in tiles": (
        "+experiment=llama8b_full_zero3", "strategy=fsdp2", "trainer.mlp_tile_tokens=4096",
    ),
    "8B, all weights, FSDP2, MLP in tiles, activations in host memory": (
        "+experiment=llama8b_full_zero3", "strategy=fsdp2", "trainer.mlp_tile_tokens=4096",
        "trainer.activation_offloading=true",
    ),
    "8B, QLoRA r=32": ("+experiment=llama8b_lora", "plugin=[qlora,gradient_checkpointing]", "plugins.qlora.r=32"),
    "8B, QLoRA r=32, activations in host memory": (
        "+experiment=llama8b_lora", "plugin=[qlora,gradient_checkpointing]", "plugins.qlora.r=32",
        "trainer.activation_offloading=true",
    ),
    "70B, QLoRA": ("+experiment=llama70b_qlora",),
    "70B, QLoRA, activations in host memory": ("+experiment=llama70b_qlora", "trainer.activation_offloading=true"),
}  # fmt: skip
GPUS = (1, 8, 64)
PUBLISHED = (
    ("Unsloth", "8B, QLoRA r=32, its own checkpointing to host memory", 1, 342_733, "unsloth.ai/docs, benchmarks"),
    ("transformers with flash attention, by Unsloth", "8B, QLoRA r=32", 1, 28_454, "unsloth.ai/docs, benchmarks"),
    ("Unsloth", "70B, QLoRA r=32", 1, 89_389, "unsloth.ai/docs, benchmarks"),
    ("transformers with flash attention, by Unsloth", "70B, QLoRA r=32", 1, 6_916, "unsloth.ai/docs, benchmarks"),
    ("trl, sequences shared by 8 GPUs (ALST)", "8B, all weights, ZeRO-3, 8 x H100", 8, 1_048_576, "as others quote it"),
    ("ALST", "8B, all weights, ZeRO-3, tiled MLP, checkpoints in host memory, 8 x H100", 8, 3_700_000,
     "as others quote it"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Longest:
    """The longest context of a setting; None if none fits."""

    alone: int | None
    shared: int | None
    degree: int
    """GPUs that share each sequence in `shared`."""


def main() -> int:
    """Prints the tables of docs/measured/longest_context.md."""
    register()
    print("| setting | GPUs of 80 GB | each sequence on one GPU | each sequence shared | by |")
    print("|---|---|---|---|---|")
    for name, words in SETTINGS.items():
        for gpus in GPUS:
            found = longest(compose(*words, gpus=gpus))
            by = f"{found.degree} GPUs" if found.shared else ""
            print(f"| {name} | {gpus} | {_count(found.alone)} | {_count(found.shared)} | {by} |")
    print("\n| peer | setting | GPUs of 80 GB | longest context | source |\n|---|---|---|---|---|")
    for peer, setting, gpus, length, source in PUBLISHED:
        print(f"| {peer} | {setting} | {gpus} | {length:,} | {source} |")
    return 0


def compose(*words: str, gpus: int) -> Config:
    nodes, each = max(1, gpus // 8), min(gpus, 8)
    typed = [
        *words, *COMMON, f"resources.nodes={nodes}", f"resources.gpus_per_node={each}", f"batch.global_batch_size={gpus}",
    ]  # fmt: skip
    with hydra.initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
        return to_config(hydra.compose("config", typed))


def longest(config: Config) -> Longest:
    """By the plan's formulas."""
    plan = decide(config, facts(config))
    found = {one.kind: one.overrides for one in find_alternatives(config, plan)}
    shared = found.get("longest_shared_context", ())
    return Longest(
        alone=_value(found.get("longest_context", ()), "model.max_length") or None,
        shared=_value(shared, "model.max_length") or None,
        degree=_value(shared, "strategy.sequence_parallel_size"),
    )


def facts(config: Config) -> Facts:
    return Facts(
        experiment=None, cluster="slurm", device="cuda", run_dir="/runs/NAME/DATE", work_dir="/work_dir", cache_dir="/cache",
        hub_folders={}, data_path="/data/train.jsonl", eval_path=None, python="/venv/bin/python",
        architecture=config.model.architecture, resume="never", save_s=5.0, restart_s=120.0, version="VERSION",
    )  # fmt: skip


def _value(overrides: tuple[str, ...], key: str) -> int:
    return next((int(one.partition("=")[2]) for one in overrides if one.startswith(f"{key}=")), 0)


def _count(number: int | None) -> str:
    return f"{number:,}" if number else "none"


if __name__ == "__main__":
    sys.exit(main())
