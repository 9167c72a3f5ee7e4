"""Adds the estimates to a plan: the load of one GPU, and its memory and time."""

import dataclasses

from launcher.config import Config
from launcher.methods.registry import find_method
from launcher.plan.allocator import grows_segments
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.length import final_args, make_length
from launcher.plan.memory import OPTIMIZERS, Load, estimate_memory, estimate_room
from launcher.plan.time import estimate_time


def make_load(config: Config, plan: LaunchPlan) -> Load | None:
    """The input of the estimates; None if their formulas do not hold.

    They do not hold on a CPU, for a model or a teacher of unknown shape, an optimizer that memory/optimizer.py does not list,
    attention that keeps its scores, and methods whose spec sets not_estimated.
    """
    shape, attention = plan.facts.architecture, config.model.attn_implementation
    method = find_method(plan.trainer)
    known = config.trainer.optim in OPTIMIZERS and attention != "eager"
    known = known and method.not_estimated is None
    if shape is None or plan.device != "cuda" or not known:
        return None
    if plan.facts.teacher_name and plan.facts.teacher is None:
        return None
    if method.own_head:
        shape = dataclasses.replace(
            shape, tie_word_embeddings=True
        )  # no head predicts tokens: counted as if it were tied
    return Load(
        shape=shape,
        adapter=plan.adapter,
        checkpointing=plan.checkpointing,
        kernels=plan.kernels,
        strategy=plan.strategy,
        degrees=plan.degrees,
        gpus_per_node=plan.topology.gpus_per_node,
        sequences=plan.batch.micro_batch_size,
        length=config.model.max_length,
        accumulation=plan.batch.gradient_accumulation_steps,
        bf16=plan.precision == "bf16",
        optimizer=config.trainer.optim,
        packed=config.trainer.packing,
        varlen=(attention or "").startswith("flash"),
        bucket=plan.strategy.bucket(plan.deepspeed),
        context_gib=config.cluster.context_gib,
        saves=plan.save is not None,
        moves_weights=any(plugin.moves_weights for plugin in plan.plugins.values()),
        extra_passes=method.extra_passes(config),
        answers=method.sequences,
        reference=method.has_reference(config),
        teacher=plan.facts.teacher,
        imitates=method.teacher is not None,
        whole_logits=method.whole_logits,
        scores=plan.outputs,
        generated=method.completion_length(config),
        generates_here=plan.generation is None,
        measured=max((plugin.measures_tokens for plugin in plan.plugins.values()), default=0),
        offloads_activations=config.trainer.activation_offloading,
        compiled=config.trainer.torch_compile,
        reentrant=any(plugin.reentrant for plugin in plan.plugins.values()),
        mlp_tile_tokens=config.trainer.mlp_tile_tokens,
        balances=bool(config.trainer.router_aux_loss_coef),
        processes=method.processes(config),
        fragmentation=config.cluster.fragmentation,
        expandable=grows_segments(plan.env),
    )


def with_length(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan after its plugins with its length decided, which trainer_args then hold."""
    length = make_length(
        plan.trainer_args,
        plan.facts,
        plan.batch,
        packing=config.trainer.packing,
        samples=find_method(config.trainer.kind).generations(config),
    )
    length = dataclasses.replace(length, eval_every=plan.length.eval_every)
    return dataclasses.replace(plan, length=length, trainer_args=final_args(plan.trainer_args, length))


def with_estimates(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan after its plugins with the size of DeepSpeed's buckets, and memory and time estimated."""
    plan = _with_buckets(config, plan)
    load = make_load(config, plan)
    if load is None:
        return plan
    return dataclasses.replace(
        plan,
        memory=estimate_memory(load),
        room=estimate_room(load),
        time=estimate_time(config, load, plan.facts, plan.length.steps),
    )


def _with_buckets(config: Config, plan: LaunchPlan) -> LaunchPlan:
    if plan.deepspeed is None:
        return plan
    sized = plan.strategy.sized(plan.deepspeed, plan.model.trainable_parameters)
    return dataclasses.replace(plan, deepspeed=plan.strategy.merged(sized, config.strategy.deepspeed))
