"""accelerate's configuration and DeepSpeed's JSON, which come with a recipe and say where it runs and how it is sharded.

Source: accelerate 1.x, `accelerate config`; DeepSpeed's manual, "DeepSpeed Configuration JSON".
"""

import math
from collections.abc import Mapping
from typing import Any, cast

from launcher.recipes import parts, sharding
from launcher.recipes.base import Draft, Step, absent, is_off, same, to


def world_of(accelerate: Mapping[str, Any] | None, gpus: int | None, nodes: int | None) -> tuple[int, int]:
    """(nodes, GPUs per node): as typed, otherwise as in accelerate's configuration, otherwise one GPU."""
    told = accelerate or {}
    machines = nodes or int(told.get("num_machines") or 1)
    return machines, gpus or max(1, int(told.get("num_processes") or machines) // machines)


def _distributed(draft: Draft, key: str, value: Any) -> None:
    recipe = draft.recipe
    zero = cast("dict[str, Any]", recipe.get("deepspeed_config") or {})
    sharded = cast("dict[str, Any]", recipe.get("fsdp_config") or {})
    name = str(value).upper()
    if name == "DEEPSPEED":
        offloads = [not is_off(zero.get(f"offload_{part}_device", "none")) for part in ("optimizer", "param")]
        sharding.set_zero(
            draft, key, int(zero.get("zero_stage", 2)), optimizer=offloads[0], param=offloads[1]
        )
        draft.carry("deepspeed_config", "strategy.zero_stage", int(zero.get("zero_stage", 2)))
    elif name == "FSDP":
        sharding.fsdp(draft, key, sharded.get("fsdp_offload_params"))
        draft.carry("fsdp_config", "strategy.engine", "fsdp2")
    else:
        draft.carry(key, "strategy.engine", "ddp")


def _places(draft: Draft, key: str, value: Any) -> None:
    nodes, gpus = world_of(draft.recipe, None, None)
    ours, number = ("resources.nodes", nodes) if key == "num_machines" else ("resources.gpus_per_node", gpus)
    draft.carry(key, ours, number)


def _degrees(draft: Draft, key: str, value: Any) -> None:
    """accelerate's ParallelismConfig: the degrees that have a key here."""
    degrees = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    draft.world = math.prod(world_of(draft.recipe, None, None))
    draft.same(key, "each of its keys is listed")
    steps = {
        "sp_size": sharding.sequence_parallel,
        "cp_size": sharding.sequence_parallel,
        "dp_replicate_size": sharding.replicas,
        "dp_shard_size": same("the weights are sharded over all ranks of a copy"),
        "tp_size": sharding.unless_one(
            absent("layers are not split over ranks; strategy=zero3 or fsdp2 shards the weights")
        ),
    }
    for name, given in degrees.items():
        step = steps.get(name.removeprefix(f"{key}_"))
        inner = Draft(
            recipe={name: given}, defaults={}, method=draft.method, world=draft.world, entries=draft.entries
        )
        if step is not None:
            step(inner, name, given)
        for one in inner.outcomes.values():
            draft.nested(f"{key}.{one.key}", one.fate, one.why, one.ours)


_CHOSEN = same("the launcher chooses hosts, ports and ranks in the job")
ACCELERATE: Mapping[str, Step] = {
    "distributed_type": _distributed,
    "num_machines": _places,
    "num_processes": _places,
    "mixed_precision": lambda draft, key, value: parts.precision(draft, key),
    "use_cpu": to("resources.device", lambda value: "cpu" if value else "auto"),
    "gpu_ids": absent("CUDA_VISIBLE_DEVICES, or the scheduler, chooses the GPUs"),
    "deepspeed_config": same("strategy.*"),
    "fsdp_config": same("strategy.*"),
    "parallelism_config": _degrees,
    "use_parallelism_config": same("strategy.*"),
    **dict.fromkeys(("compute_environment", "machine_rank", "main_process_ip", "main_process_port", "main_training_function",
                     "rdzv_backend", "same_network", "downcast_bf16", "debug", "enable_cpu_affinity", "tpu_env",
                     "tpu_use_cluster", "tpu_use_sudo", "dynamo_backend"), _CHOSEN),
}  # fmt: skip


def _zero(draft: Draft, key: str, value: Any) -> None:
    sharding.deepspeed(draft, key, draft.recipe)


DEEPSPEED: Mapping[str, Step] = {
    "zero_optimization": _zero,
    "gradient_clipping": lambda draft, key, value: draft.same(key, "auto: trainer.max_grad_norm") if value == "auto" else to(
        "trainer.max_grad_norm", float
    )(draft, key, value),
    **dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"),
                    same("batch.*, from the recipe")),
    **dict.fromkeys(("bf16", "fp16"), same("trainer.precision, from the recipe")),
    **dict.fromkeys(("optimizer", "scheduler"), absent("trainer.optim and trainer.lr_scheduler_type set them")),
    **dict.fromkeys(("steps_per_print", "wall_clock_breakdown", "zero_allow_untested_optimizer", "prescale_gradients"),
                    same("metrics.jsonl has the loss and the time of each step")),
}  # fmt: skip
