"""Makes a LaunchPlan from a configuration: every decision of a run, made once. No clock, file or environment is read here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from launcher.clusters.registry import find_cluster
from launcher.config import Config, Init, Precision
from launcher.config.spelling import check_time
from launcher.errors import PlanError
from launcher.methods.registry import find_method
from launcher.plan.classes import make_classes
from launcher.plan.facts import Facts
from launcher.plan.generation import make_generation
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.length import make_length, steps_of
from launcher.plan.model import ModelFacts, count_parameters
from launcher.plan.mounts import check_mounts
from launcher.plan.place import (
    check_environment,
    check_facts,
    check_node_cache,
    check_programs,
    container_command,
    environment,
    make_request,
    module_name,
    node_python,
    simple_command,
)
from launcher.plan.positions import check_positions
from launcher.plan.rendezvous import make_rendezvous
from launcher.plan.topology import make_batch, make_topology
from launcher.plan.trainer import check_trainer, trainer_args
from launcher.strategies import Degrees, Strategy, StrategyInputs, make_strategy

_MOST_HOST_GIB, _MOST_GPU_GIB = 32_768, 1_024
"""GiB. The largest nodes and GPUs have less."""


def make_plan(config: Config, facts: Facts) -> LaunchPlan:
    """The plan of one run before its plugins; PlanError names the key that is wrong."""
    check_facts(facts)
    method = find_method(config.trainer.kind)
    _check_model(config)
    check_positions(config, facts)
    _check_resources(config)
    cuda = facts.device == "cuda"
    topology = make_topology(
        config.resources.nodes, config.resources.gpus_per_node, config.cluster.gpus_per_node, cuda
    )
    place = find_cluster(facts.cluster)
    place.check_nodes(topology.nodes)
    strategy = make_strategy(config.strategy)
    degrees = strategy.degrees(config.strategy, topology.world_size)
    _check_sequence(config, strategy, degrees)
    batch = make_batch(config.batch.global_batch_size, micro_batch_size(config), degrees.data_parallel_size)
    precision = _precision(config.trainer.precision, cuda)
    # On a CPU, autocast costs more than it saves: bf16 there means bf16 weights without it.
    mixed = "bf16" if precision == "bf16" and cuda else "no"
    shape = facts.architecture
    classes = make_classes(config, facts)
    named = len(classes.names) if classes else 0
    parameters = method.count_parameters(shape, count_parameters(shape), named) if shape else None
    check_trainer(config)
    check_environment(config)
    check_node_cache(config.cluster)
    check_programs(config.cluster)
    check_mounts(config, facts)
    generation = make_generation(config, facts, topology, place, node_python(config, facts))
    request = make_request(config, topology, facts, place, generation)
    files = strategy.files(
        StrategyInputs(
            nodes=topology.nodes,
            degrees=degrees,
            global_batch_size=batch.global_batch_size,
            micro_batch_size=batch.micro_batch_size,
            gradient_accumulation_steps=batch.gradient_accumulation_steps,
            mixed_precision=mixed,
            max_grad_norm=config.trainer.max_grad_norm,
            optim=config.trainer.optim,
            hidden_size=shape.hidden_size if shape else None,
            overlap_comm=config.strategy.overlap_comm,
            pin_memory=cuda,
        )
    )
    args = trainer_args(config, batch, mixed, cuda, generation)
    args = _with_own(args, files.trainer_args, strategy.name)
    if shape and shape.num_experts and "router_aux_loss_coef" in method.fields:
        # trl would take the coefficient of the model's config.json, without a warning
        args.setdefault("router_aux_loss_coef", 0.0)
    length = make_length(
        args, facts, batch, packing=config.trainer.packing, samples=method.generations(config)
    )
    if (every := config.trainer.eval_steps) is not None:
        between = steps_of(every, length)
        args |= {} if between is None else {"eval_steps": between}
        length = dataclasses.replace(length, eval_every=every if between is None else None)
    return LaunchPlan(
        run=config.name,
        experiment=facts.experiment,
        cluster=facts.cluster,
        topology=topology,
        degrees=degrees,
        batch=batch,
        strategy=strategy,
        model=ModelFacts(
            name_or_path=config.model.name_or_path,
            revision=config.model.revision,
            parameters=parameters,
            trainable_parameters=parameters,
        ),
        classes=classes,
        device=facts.device,
        precision=precision,
        mixed_precision=mixed,
        weights_dtype="float32",
        plugins={},
        adapter=None,
        checkpointing=False,
        kernels=(),
        memory=None,
        room=None,
        time=None,
        chosen=None,
        length=length,
        trainer=config.trainer.kind,
        trainer_args=args,
        deepspeed=files.deepspeed,
        accelerate=files.accelerate,
        job_options=place.job_options(request),
        step_options=place.step_options(request),
        rendezvous=make_rendezvous(config.cluster),
        env=environment(config, facts),
        modules=tuple(module_name(module) for module in config.cluster.modules),
        setup=tuple(simple_command(line) for line in config.cluster.setup),
        rank_starter=config.cluster.rank_starter.name,
        container_command=container_command(config, facts),
        python=node_python(config, facts),
        generation=generation,
        spares=config.resources.spares,
        hang_timeout_s=config.resources.hang_timeout_s,
        failures_per_1000_node_days=config.cluster.failures_per_1000_node_days,
        save=None,
        facts=facts,
    )


def _check_ranges(config: Config) -> None:
    """PlanError for a size or time that no machine has; memory is most often given in MiB by mistake."""
    resources = config.resources
    if resources.spares < 0:
        raise PlanError(f"resources.spares={resources.spares} must be at least 0")
    if not resources.hang_timeout_s > 0:
        raise PlanError(f"resources.hang_timeout_s={resources.hang_timeout_s:g} must be above 0 seconds")
    for key, size, most in (
        ("resources.memory_gib", resources.memory_gib, _MOST_HOST_GIB),
        ("cluster.gpu_memory_gib", config.cluster.gpu_memory_gib, _MOST_GPU_GIB),
    ):
        if size is not None and size > most:
            way = f"; if it is in MiB, set {key}={size // 1024:g}" if size >= 1024 else ""
            raise PlanError(f"{key}={size:g} must be at most {most:,} GiB{way}")


def micro_batch_size(config: Config) -> int:
    """batch.micro_batch_size as a number; PlanError for other text. The planner has replaced `auto` before."""
    requested = config.batch.micro_batch_size
    try:
        return int(requested)
    except ValueError:
        raise PlanError(f"batch.micro_batch_size={requested} must be a whole number, or auto") from None


def _check_sequence(config: Config, strategy: Strategy, degrees: Degrees) -> None:
    """PlanError for a degree that the strategy ignores, and for a longest row that the ranks cannot cut into equal parts."""
    asked, longest = config.strategy.sequence_parallel_size, config.model.max_length
    if asked not in (1, degrees.sequence):
        raise PlanError(
            f"strategy.sequence_parallel_size={asked} has no effect with strategy={strategy.name}, which sets the degree by "
            "itself; use another strategy, or take it out"
        )
    if longest % degrees.sequence:
        below = longest // degrees.sequence * degrees.sequence
        near = " or ".join(str(one) for one in (below, below + degrees.sequence) if one)
        raise PlanError(
            f"model.max_length={longest} is not a multiple of strategy.sequence_parallel_size={degrees.sequence}, but ranks "
            f"take equal parts of a sequence; use {near}"
        )


def _precision(requested: Precision, cuda: bool) -> str:
    if requested is Precision.auto:
        return "bf16" if cuda else "fp32"
    return requested.name


def _check_model(config: Config) -> None:
    shape = config.model.architecture
    for name, value in vars(shape).items() if shape else ():
        least = 0 if name == "full_attention_layers" else 1
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            raise PlanError(f"model.architecture.{name}={value} must be at least {least}")
    if config.model.max_length < 1:
        raise PlanError(f"model.max_length={config.model.max_length} must be at least 1 token")
    if config.model.init is Init.random and config.model.architecture is None:
        raise PlanError(
            "model.init=random needs model.architecture; use model=tiny, or fill model.architecture.*"
        )


def _check_resources(config: Config) -> None:
    check_time(config.resources.time)
    _check_ranges(config)
    for name, least, meant in (("cpus_per_gpu", 1, ""), ("memory_gib", 0, " (all that a node has)")):
        value = getattr(config.resources, name)
        if value is not None and value < least:
            raise PlanError(
                f"resources.{name}={value} must be at least {least}{meant}, or null for the site's default"
            )
    has = config.cluster.node_memory_gib
    if has is not None and not 0 < has < float("inf"):
        raise PlanError(
            f"cluster.node_memory_gib={has:g} must be a number above 0, or null if it is not known"
        )
    if not 0 <= config.cluster.failures_per_1000_node_days < float("inf"):
        rate = config.cluster.failures_per_1000_node_days
        raise PlanError(f"cluster.failures_per_1000_node_days={rate} must be a number of at least 0")
    if not 0 <= config.seed < 2**32:
        raise PlanError(f"seed={config.seed} must be from 0 to 4294967295")


def _with_own(args: dict[str, Any], own: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    """The trainer's arguments with those of the strategy; PlanError for one that trainer.args sets otherwise."""
    for name, value in own.items():
        if args.get(name, value) != value:
            raise PlanError(
                f"trainer.args.{name}={args[name]} does not work with strategy={strategy}, which needs {value}; take "
                f"trainer.args.{name} out, or use another strategy"
            )
    return args | dict(own)
