"""strategy.deepspeed: keys of DeepSpeed's configuration that have no key of their own, put into deepspeed.json as they are.

Names and types are copied as data because a login node has no DeepSpeed; a test compares them with the installed version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from launcher.errors import PlanError, unknown

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "keys with values",
    list: "a list",
}

# fmt: off
TOP: Mapping[str, type] = {
    "activation_checkpointing": dict, "autotuning": dict, "checkpoint": dict, "comms_logger": dict, "compile": dict,
    "compression_training": dict, "csv_monitor": dict, "curriculum_learning": dict, "data_efficiency": dict,
    "dataloader_drop_last": bool, "disable_allgather": bool, "disable_python_gc": bool, "dump_state": bool, "elasticity": dict,
    "flops_profiler": dict, "gradient_allreduce_op": str, "gradient_predivide_factor": float, "log_level": str,
    "managed_gradient_accumulation": bool, "memory_breakdown": bool, "prescale_gradients": bool, "communication_data_type": str,
    "seq_parallel_communication_data_type": str, "sparse_gradients": bool, "steps_per_print": int, "wall_clock_breakdown": bool,
    "progressive_layer_drop": dict, "eigenvalue": dict, "data_types": dict, "torch_autocast": dict, "zero_optimization": dict,
    "zero_force_ds_cpu_optimizer": bool, "zero_allow_untested_optimizer": bool, "graph_harvesting": bool, "aio": dict,
}
"""Keys of the file's top level. Source: the page "DeepSpeed Configuration JSON"; DeepSpeed 0.19.8, runtime/config.py."""
ZERO: Mapping[str, type] = {
    "contiguous_gradients": bool, "reduce_scatter": bool, "reduce_bucket_size": int, "use_multi_rank_bucket_allreduce": bool,
    "allgather_partitions": bool, "allgather_bucket_size": int, "compute_grad_norm": bool, "load_from_fp32_weights": bool,
    "zenflow": dict, "sub_group_size": int, "stage3_prefetch_bucket_size": int, "stage3_param_persistence_threshold": int,
    "stage3_model_persistence_threshold": int, "stage3_max_live_parameters": int, "stage3_max_reuse_distance": int,
    "stage3_gather_16bit_weights_on_model_save": bool, "stage3_module_granularity_threshold": int,
    "stage3_use_all_reduce_for_fetch_params": bool, "stage3_allgather_sequential": bool, "ignore_unused_parameters": bool,
    "legacy_stage1": bool, "round_robin_gradients": bool, "parameter_alignment": bool,
    "zero_quantized_weights": bool, "zero_quantized_nontrainable_weights": bool, "zero_quantized_gradients": bool,
    "memory_efficient_linear": bool, "override_module_apply": bool, "log_trace_cache_warnings": bool,
    "enable_sanity_checks": bool, "save_muon_momentum_buffer_in_memory": bool, "leaf_module": dict, "offload_optimizer": dict,
    "offload_param": dict,
}
"""Keys of zero_optimization. Source: DeepSpeed 0.19.8, runtime/zero/config.py."""
_OFFLOAD: Mapping[str, type] = {
    "nvme_path": str, "buffer_count": int, "buffer_size": int, "max_in_cpu": int, "pin_memory": bool, "pipeline_read": bool,
    "pipeline_write": bool, "fast_init": bool, "ratio": float, "super_offload": bool, "cpuadam_cores_perc": float,
}
"""Keys of offload_optimizer and offload_param. Source: DeepSpeed 0.19.8, runtime/zero/offload_config.py."""
_OWNED: Mapping[str, str] = {
    "train_batch_size": "set batch.global_batch_size instead",
    "train_micro_batch_size_per_gpu": "set batch.micro_batch_size instead",
    "gradient_accumulation_steps": "it follows from batch.global_batch_size and batch.micro_batch_size",
    "gradient_clipping": "set trainer.max_grad_norm instead",
    "optimizer": "set trainer.optim, trainer.learning_rate, trainer.weight_decay and trainer.adam_* instead",
    "scheduler": "set trainer.lr_scheduler_type and trainer.warmup_steps instead",
    "bf16": "set trainer.precision instead",
    "fp16": "fp16 is not supported; set trainer.precision to bf16 or fp32 instead",
    "amp": "set trainer.precision instead",
    "zero_optimization.stage": "set strategy=zero1, zero2 or zero3 instead",
    "zero_optimization.overlap_comm": "set strategy.overlap_comm instead",
    "zero_optimization.offload_optimizer.device": "set strategy.offload_optimizer instead",
    "zero_optimization.offload_param.device": "set strategy.offload_param instead",
    "zero_optimization.zero_hpz_partition_size": "set strategy.hpz_size instead",
    "zero_optimization.elastic_checkpoint": "the launcher writes checkpoints of its own",
    "zero_optimization.pipeline_loading_checkpoint": "the launcher writes checkpoints of its own",
    "zero_optimization.cpu_offload": "set strategy.offload_optimizer instead",
    "zero_optimization.cpu_offload_param": "set strategy.offload_param instead",
    "tensor_parallel": "only data and sequence parallelism are supported",
    "pipeline": "only data and sequence parallelism are supported",
    "sequence_parallel_size": "set strategy.sequence_parallel_size instead",
}
# fmt: on


def check_passed(given: Mapping[str, Any], offloads: Mapping[str, bool]) -> None:
    """PlanError for a key that is unknown or is set by another key of the launcher, and for a value of another type.

    `offloads`: whether offload_optimizer and offload_param are on, without which their sections must not exist.
    """
    for name, value in _parts(given, ""):
        key, leaf = f"strategy.deepspeed.{name}", name.rpartition(".")[2]
        if name in _OWNED:
            raise PlanError(f"{key} cannot be set: {_OWNED[name]}")
        section = name.rpartition(".")[0]
        known = {"": TOP, "zero_optimization": ZERO}.get(section, _OFFLOAD)
        if leaf not in known:
            raise PlanError(f"{key}: {unknown('key of DeepSpeed', leaf, known)}")
        kind = known[leaf]
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise PlanError(f"{key}={value} must be {_WORDS[kind]}, as in DeepSpeed's configuration")
        if leaf in offloads and not offloads[leaf]:
            raise PlanError(f"{key} has no effect with strategy.{leaf}=false; set strategy.{leaf}=true")


def merged(written: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """deepspeed.json with the given keys instead of its own."""
    values = dict(written)
    for name, value in given.items():
        below = values.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            below, value = cast("Mapping[str, Any]", below), cast("Mapping[str, Any]", value)
            values[name] = merged(below, value)
        else:
            values[name] = value
    return values


def _parts(given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Each key with its dotted name: those of the top level, of zero_optimization and of its offload sections."""
    for name, value in given.items():
        dotted = f"{prefix}{name}"
        yield dotted, value
        looked_into = (
            "zero_optimization",
            "zero_optimization.offload_optimizer",
            "zero_optimization.offload_param",
        )
        if dotted in looked_into and isinstance(value, Mapping):
            yield from _parts(cast("Mapping[str, Any]", value), f"{dotted}.")
