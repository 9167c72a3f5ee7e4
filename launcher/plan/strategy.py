"""How training state is sharded, and what DeepSpeed and accelerate are told about it."""

from dataclasses import dataclass
from typing import Any

from launcher.config import Engine, StrategyConfig
from launcher.errors import PlanError
from launcher.plan.topology import Batch, Topology

BUCKET = 500_000_000
"""Elements of the buckets in which DeepSpeed reduces gradients, where no fewer are trained: DeepSpeed's own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """The sharding as decided. `name` is derived, so that it cannot disagree with the stage."""

    name: str
    engine: str
    zero_stage: int
    offload_optimizer: bool
    offload_param: bool

    @property
    def shards_weights(self) -> bool:
        """Whether no rank holds the whole model."""
        return self.zero_stage == 3 or self.engine == "fsdp2"


def make_strategy(config: StrategyConfig) -> Strategy:
    """The strategy asked for; PlanError for settings that exclude each other."""
    stage, engine = config.zero_stage, config.engine
    if engine is Engine.deepspeed:
        if stage not in (1, 2, 3):
            raise PlanError(
                f"strategy.zero_stage={stage} must be 1, 2 or 3 with DeepSpeed; "
                "without sharding use strategy=ddp"
            )
        if config.offload_param and stage != 3:
            raise PlanError(
                f"strategy.offload_param=true needs strategy.zero_stage=3, not {stage}: "
                "only stage 3 shards weights"
            )
    elif stage != 0:
        raise PlanError(
            f"strategy.zero_stage={stage} belongs to DeepSpeed, but strategy.engine={engine.name}; "
            f"use strategy=zero{stage}"
            if stage in (1, 2, 3)
            else f"strategy.zero_stage={stage} is not a ZeRO stage; use strategy=zero1, zero2 or zero3"
        )
    if engine is Engine.ddp and (config.offload_optimizer or config.offload_param):
        raise PlanError("strategy.offload_*=true has no effect under ddp; use strategy=zero3_offload")
    if engine is Engine.fsdp2 and config.offload_optimizer:
        raise PlanError(
            "strategy.offload_optimizer=true is DeepSpeed's; with fsdp2 use strategy.offload_param=true"
        )
    return Strategy(
        name=_name(config),
        engine=engine.name,
        zero_stage=stage,
        offload_optimizer=config.offload_optimizer,
        offload_param=config.offload_param,
    )


def _name(config: StrategyConfig) -> str:
    offload = "_offload" if config.offload_optimizer or config.offload_param else ""
    if config.engine is not Engine.deepspeed:
        return f"{config.engine.name}{offload}"
    return f"zero{config.zero_stage}{offload}"


STRATEGIES = {
    name: make_strategy(config)
    for name, config in {
        "ddp": StrategyConfig(engine=Engine.ddp),
        "zero1": StrategyConfig(engine=Engine.deepspeed, zero_stage=1),
        "zero2": StrategyConfig(engine=Engine.deepspeed, zero_stage=2),
        "fsdp2": StrategyConfig(engine=Engine.fsdp2),
        "zero3": StrategyConfig(engine=Engine.deepspeed, zero_stage=3),
        "fsdp2_offload": StrategyConfig(engine=Engine.fsdp2, offload_param=True),
        "zero3_offload": StrategyConfig(
            engine=Engine.deepspeed, zero_stage=3, offload_optimizer=True, offload_param=True
        ),
    }.items()
}
"""The shipped strategies, the least sharding first; conf/strategy has a file for each."""


def deepspeed_config(
    strategy: Strategy, batch: Batch, *, bf16: bool, max_grad_norm: float, pin_memory: bool
) -> dict[str, Any] | None:
    """The content of deepspeed.json; None when DeepSpeed is not used.

    Source: DeepSpeed's "DeepSpeed Configuration JSON" page. Buffer sizes in elements.
    """
    if strategy.engine != "deepspeed":
        return None
    zero: dict[str, Any] = {
        "stage": strategy.zero_stage,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": BUCKET,
    }
    if strategy.zero_stage == 3:
        zero |= {
            "stage3_gather_16bit_weights_on_model_save": True,
            "stage3_max_live_parameters": 1_000_000_000,
            "stage3_max_reuse_distance": 1_000_000_000,
        }
    if strategy.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pin_memory}
    if strategy.offload_param:
        zero["offload_param"] = {"device": "cpu", "pin_memory": pin_memory}
    return {
        "train_batch_size": batch.global_batch_size,
        "train_micro_batch_size_per_gpu": batch.micro_batch_size,
        "gradient_accumulation_steps": batch.gradient_accumulation_steps,
        "gradient_clipping": max_grad_norm,
        "bf16": {"enabled": bf16},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }


def bucket_size(trained: int | None) -> int:
    """Elements of a gradient bucket: never more than are trained, since DeepSpeed allocates the whole of it.

    Source: DeepSpeed 0.19.8, stage_1_and_2.py (setup_buckets) and stage3.py (ipg_buckets).
    """
    return BUCKET if trained is None else max(1_000, min(BUCKET, trained))


def fsdp_config(strategy: Strategy) -> dict[str, Any] | None:
    """TrainingArguments' fsdp_config; None when FSDP2 is not used."""
    if strategy.engine != "fsdp2":
        return None
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "state_dict_type": "SHARDED_STATE_DICT",
        "cpu_offload": strategy.offload_param,
        "cpu_ram_efficient_loading": False,
    }


def accelerate_config(strategy: Strategy, topology: Topology, *, mixed_precision: str) -> dict[str, Any]:
    """The content of accelerate.yaml: what `accelerate launch --config_file` needs for the same launch.

    num_processes counts all nodes. DeepSpeed's multi-node launcher is `standard`: accelerate's default is
    pdsh over ssh. On CPU ranks distributed_type is MULTI_GPU as well: with MULTI_CPU, accelerate 1.15 starts
    one rank in silence (the trainer's use_cpu keeps them on the CPU). With DeepSpeed, batch, stage and
    precision stand in deepspeed.json alone: accelerate refuses a second value beside it.
    """
    content: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "num_machines": topology.nodes,
        "num_processes": topology.world_size,
        "main_training_function": "main",
        "rdzv_backend": "static",
        "same_network": True,
    }
    if strategy.engine == "deepspeed":
        return content | {
            "distributed_type": "DEEPSPEED",
            "deepspeed_config": {
                "deepspeed_config_file": "deepspeed.json",
                "deepspeed_multinode_launcher": "standard",
                "zero3_init_flag": strategy.zero_stage == 3,
            },
        }
    content["mixed_precision"] = mixed_precision
    fsdp = fsdp_config(strategy)
    if fsdp is not None:
        fsdp["offload_params"] = fsdp.pop("cpu_offload")  # the same switch; accelerate spells it so
        return content | {
            "distributed_type": "FSDP",
            "fsdp_config": {f"fsdp_{key}": value for key, value in fsdp.items()},
        }
    return content | {"distributed_type": "MULTI_GPU" if topology.world_size > 1 else "NO"}
