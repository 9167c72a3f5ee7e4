"""Whether this machine can train a model: a large one on CPU ranks is refused, and `plan` plans it for a queue instead."""

import dataclasses
import os
from pathlib import Path

from omegaconf import open_dict, read_write

from launcher.clusters.registry import choose_kind, find_cluster, queue_kind
from launcher.config import Config, Device
from launcher.errors import PlanError
from launcher.launching.composed import Composed
from launcher.plan import Facts, LaunchPlan
from launcher.plan.model import count_parameters
from launcher.plan.verdict import check_host
from launcher.units import plural

LARGE = 1_000_000_000
"""Parameters from which a model is not trained on a CPU unless somebody says so: a step then takes minutes to hours."""


def check_machine(config: Config, facts: Facts) -> None:
    """PlanError for a large model that would train on a CPU only because this machine has no GPU."""
    parameters = _large(config, facts)
    if parameters is None or not _only_cpu(config, facts):
        return
    raise PlanError(
        f"model {config.model.name_or_path} has {parameters / 1e9:.3g} billion parameters, and {_lacks(facts)}: it would train "
        f"on CPU ranks; use cluster={queue_kind()} on a login node (here with plan or dry_run=true), a smaller model such as "
        "model=smollm2_135m, or resources.device=cpu if a CPU is what you want"
    )


def check_host_memory(config: Config, plan: LaunchPlan) -> None:
    """PlanError for a run on GPUs of this machine that needs more host memory than the machine has."""
    if find_cluster(plan.cluster).one_machine and not config.dry_run:
        check_host(config, plan, ("memory of this machine in GiB", total_gib()))


def cpu_warning(config: Config, plan: LaunchPlan) -> str | None:
    """A warning if a run that asks for several GPUs, or whose model's size is not known, trains on CPU ranks."""
    if not _only_cpu(config, plan.facts):
        return None
    ranks = plan.topology.world_size
    known = plan.facts.architecture is not None
    if ranks == 1 and known:
        return None
    unknown = "" if known else ", and the size of the model is not known (plan --inspect counts it)"
    return (
        f"{_lacks(plan.facts)}{unknown}: the run trains on {plural(ranks, 'CPU rank')}; set resources.device=cpu if that is "
        f"what you want, or cluster={queue_kind()} to plan it for GPUs"
    )


def cpu_note(config: Config, plan: LaunchPlan) -> list[str]:
    """A sentence for every other run that trains on a CPU because there is no GPU."""
    if not _only_cpu(config, plan.facts) or cpu_warning(config, plan):
        return []
    return [f"{_lacks(plan.facts)}, so the run trains on a CPU"]


def for_plan(composed: Composed, facts: Facts) -> tuple[Composed, str | None]:
    """What `plan` plans, and a sentence if that is for a queue because this machine could not run it."""
    config = composed.config
    several = config.resources.nodes > 1 and find_cluster(facts.cluster).one_machine
    if not _chosen_here(config) or not ((_large(config, facts) and _only_cpu(config, facts)) or several):
        return composed, None
    kind = queue_kind()
    cfg = composed.cfg.copy()
    with read_write(cfg), open_dict(cfg):
        cfg.cluster.kind = kind
    changed = dataclasses.replace(config, cluster=dataclasses.replace(config.cluster, kind=kind))
    here, there = find_cluster(facts.cluster).title, find_cluster(kind).title
    said = f"{here} cannot run it, so it is planned for {there} (cluster={kind}); name a cluster to plan it for another"
    return dataclasses.replace(composed, cfg=cfg, config=changed), said


def total_gib() -> float:
    """GiB of this machine's memory. Source: proc(5), MemTotal."""
    line = Path("/proc/meminfo").read_text(encoding="utf-8").partition("MemTotal:")[2]
    return int(line.split()[0]) / 2**20


def _chosen_here(config: Config) -> bool:
    """Whether nobody named the cluster: it was found on this machine."""
    return choose_kind(config.cluster.kind, os.environ) != config.cluster.kind


def _large(config: Config, facts: Facts) -> int | None:
    """The parameters of a large model; None for a smaller one, and if its shape is not known."""
    shape = facts.architecture
    if shape is None or shape.num_attention_heads < 1:  # the plan refuses such a shape
        return None
    parameters = count_parameters(shape)
    return parameters if parameters >= LARGE else None


def _only_cpu(config: Config, facts: Facts) -> bool:
    return facts.device == "cpu" and config.resources.device is Device.auto


def _lacks(facts: Facts) -> str:
    return f"{find_cluster(facts.cluster).title} has no GPU"
