"""A plan with its estimates: what it loads a GPU with, the memory and the time of that."""

import dataclasses

from launcher.config import Config
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import OPTIMIZERS, Load, estimate_memory, estimate_room
from launcher.plan.objective import NEXT_TOKEN
from launcher.plan.strategy import BUCKET, bucket_size
from launcher.plan.time import estimate_time


def make_load(config: Config, plan: LaunchPlan) -> Load | None:
    """What the estimates start from; None where their formulas do not hold.

    That is on a CPU, for a model of unknown shape, an optimizer that memory/optimizer.py does not list, attention that keeps
    its scores, and trainers other than sft and pretrain: those take pairs for sequences, draw answers, or have a second
    model, and an estimate that leaves that out would say that they fit.
    """
    shape, attention = plan.facts.architecture, config.model.attn_implementation
    known = config.trainer.optim in OPTIMIZERS and attention != "eager"
    known = known and plan.trainer in NEXT_TOKEN
    if shape is None or plan.device != "cuda" or not known:
        return None
    return Load(
        shape=shape,
        adapter=plan.adapter,
        checkpointing=plan.checkpointing,
        kernels=plan.kernels,
        strategy=plan.strategy,
        world_size=plan.topology.world_size,
        gpus_per_node=plan.topology.gpus_per_node,
        sequences=plan.batch.micro_batch_size,
        length=config.model.max_length,
        accumulation=plan.batch.gradient_accumulation_steps,
        bf16=plan.precision == "bf16",
        optimizer=config.trainer.optim,
        packed=config.trainer.packing,
        varlen=(attention or "").startswith("flash"),
        bucket=bucket_size(plan.model.trainable_parameters),
    )


def with_estimates(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan once the plugins have had their say: DeepSpeed's buckets sized, memory and time estimated."""
    plan = _with_buckets(plan)
    load = make_load(config, plan)
    if load is None:
        return plan
    return dataclasses.replace(
        plan,
        memory=estimate_memory(load, config.cluster.context_gib),
        room=estimate_room(load),
        time=estimate_time(config, load, plan.facts),
    )


def _with_buckets(plan: LaunchPlan) -> LaunchPlan:
    if plan.deepspeed is None or plan.deepspeed["zero_optimization"].get("reduce_bucket_size") != BUCKET:
        return plan  # a plugin has set another size, which stays
    bucket = bucket_size(plan.model.trainable_parameters)
    zero = {**plan.deepspeed["zero_optimization"], "reduce_bucket_size": bucket}
    return dataclasses.replace(plan, deepspeed={**plan.deepspeed, "zero_optimization": zero})
