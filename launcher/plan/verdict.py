"""Whether a plan fits its GPUs and the memory of its nodes: what is refused, and what gets a warning."""

import math

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import PlanError
from launcher.plan.generation import gpu_limit
from launcher.plan.host_limit import ASKED, host_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import MARGIN

_MOST = 3
"""Settings that a refusal names."""


def check_fits(config: Config, plan: LaunchPlan) -> None:
    """PlanError if the plan needs more memory than a GPU of the cluster or a node of the job has, unless force=true or the size
    is not known."""
    if config.force or plan.memory is None or plan.room is None:
        return
    size, memory = gpu_limit(config.cluster.gpu_memory_gib, plan.generation), plan.memory
    if size is not None and memory.total > size:
        largest = max(memory.parts, key=lambda kind: memory.parts[kind])
        raise PlanError(
            f"cluster.gpu_memory_gib={_size(config, plan)} is less than the {memory.total:.1f} GiB per GPU that the plan needs "
            f"(the largest part is {largest}: {memory.parts[largest]:.1f} GiB); {_way_out(config, plan)}, "
            "or launch it with force=true"
        )
    check_host(config, plan, host_limit(config))


def fits(config: Config, plan: LaunchPlan) -> bool | None:
    """Whether the plan fits the GPUs and the nodes' memory; None if neither is known."""
    size, limit = gpu_limit(config.cluster.gpu_memory_gib, plan.generation), host_limit(config)
    if plan.memory is None or plan.room is None or (size is None and limit is None):
        return None
    return (size is None or plan.memory.total <= size) and (limit is None or plan.room.host_gib <= limit[1])


def check_host(config: Config, plan: LaunchPlan, limit: tuple[str, float] | None) -> None:
    """PlanError if the plan needs more host memory on a node than `limit`: (key that sets it, GiB); None is no limit."""
    if limit is None or config.force or plan.room is None or plan.room.host_gib <= limit[1]:
        return
    where, has = limit
    need = math.ceil(plan.room.host_gib)
    own = f"use {ASKED}={need}, or 0 for all memory of a node" if where == ASKED else None
    raise PlanError(
        f"{where}={has:.4g} is less than the {plan.room.host_gib:.1f} GiB of host memory that the plan needs on each node; "
        f"{_way_out(config, plan, has, own)}, or launch it with force=true"
    )


def close_call(config: Config, plan: LaunchPlan) -> str | None:
    """A warning if the free memory is less than the possible error of the estimate."""
    size, memory = gpu_limit(config.cluster.gpu_memory_gib, plan.generation), plan.memory
    if size is None or memory is None or not size * (1 - MARGIN) < memory.total:
        return None
    return (
        f"the plan needs {memory.total:.1f} GiB of cluster.gpu_memory_gib={_size(config, plan)}, and the estimate can be "
        f"wrong by {MARGIN:.0%}: the run can run out of memory"
    )


def few_cores(plan: LaunchPlan) -> str | None:
    """The cluster's warning about the options of the job, such as GPUs without cores; None if there is none."""
    place = find_cluster(plan.cluster)
    return place.warning(plan.job_options, plan.topology.gpus_per_node, plan.device == "cuda")


def little_memory(plan: LaunchPlan) -> str | None:
    """The cluster's warning about a job that requests no host memory; None if it requests some, or the need is not known."""
    if plan.room is None:
        return None
    return find_cluster(plan.cluster).memory_warning(plan.job_options, math.ceil(plan.room.host_gib))


def _size(config: Config, plan: LaunchPlan) -> str:
    """cluster.gpu_memory_gib, and what vLLM takes of it in the ranks, as words."""
    generation, whole = plan.generation, f"{config.cluster.gpu_memory_gib:g}"
    if generation is None or generation.is_server:
        return whole
    return f"{whole} without generation.gpu_memory_utilization={generation.gpu_memory_utilization:g} of it"


def _way_out(config: Config, plan: LaunchPlan, host_gib: float | None = None, own: str | None = None) -> str:
    """Text with the settings nearest to the plan that fit, as they are typed; `own`: what else helps."""
    from launcher.plan.way_out import find_ways_out  # imported here: only a refusal needs it

    found = find_ways_out(config, plan, host_gib)
    typed = "; or ".join(" ".join(one.overrides) for one in found[:_MOST])
    ways = [*([own] if own else []), *([f"these fit, nearest first: {typed}"] if found else [])]
    return (
        "; ".join(ways) or "nothing that the planner knows fits, on any number of GPUs; use a smaller model"
    )
