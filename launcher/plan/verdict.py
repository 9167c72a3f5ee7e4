"""Whether a plan fits its GPUs: what is refused, and what gets a warning."""

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import PlanError
from launcher.plan.alternatives import find_alternatives
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import MARGIN
from launcher.strategies import candidates


def check_fits(config: Config, plan: LaunchPlan) -> None:
    """PlanError if the plan needs more memory than a GPU of the cluster has, unless force=true or the size is not known."""
    size, memory = config.cluster.gpu_memory_gib, plan.memory
    if config.force or size is None or memory is None or memory.total <= size:
        return
    parts = memory.parts
    largest = max(parts, key=lambda kind: parts[kind])
    raise PlanError(
        f"cluster.gpu_memory_gib={size:g} is less than the {memory.total:.1f} GiB per GPU that the plan needs (the largest "
        f"part is {largest}: {parts[largest]:.1f} GiB); {_way_out(config, plan)}, or launch it with force=true"
    )


def close_call(config: Config, plan: LaunchPlan) -> str | None:
    """A warning if the free memory is less than the possible error of the estimate."""
    size, memory = config.cluster.gpu_memory_gib, plan.memory
    if size is None or memory is None or not size * (1 - MARGIN) < memory.total:
        return None
    return (
        f"the plan needs {memory.total:.1f} GiB of cluster.gpu_memory_gib={size:g}, and the estimate can be wrong by "
        f"{MARGIN:.0%}: the run can run out of memory"
    )


def few_cores(plan: LaunchPlan) -> str | None:
    """The cluster's warning about the options of the job, such as GPUs without cores; None if there is none."""
    place = find_cluster(plan.cluster)
    return place.warning(plan.job_options, plan.topology.gpus_per_node, plan.device == "cuda")


def _way_out(config: Config, plan: LaunchPlan) -> str:
    """Text with the nearest settings that fit, else with what usually helps."""
    found = [one for one in find_alternatives(config, plan) if one.kind in ("cheapest", "fewest_gpus")]
    if found:
        return "these fit: " + "; or ".join(dict.fromkeys(" ".join(one.overrides) for one in found))
    sharding = " or ".join(one.name for one in candidates() if one.shards_weights and not one.offloads)
    return (
        f"try strategy={sharding} on more GPUs, a smaller batch.micro_batch_size or model.max_length, "
        "'plugin=[qlora,gradient_checkpointing]'"
    )
