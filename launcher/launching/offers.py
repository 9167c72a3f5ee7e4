"""What the plan and the queue say of each shape that resources.auto may choose. It asks the scheduler, and writes nothing."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from launcher.checkpoint.folders import committed
from launcher.clusters.base import Cluster
from launcher.config import Config
from launcher.errors import LauncherError, PlanError
from launcher.plan import Facts, LaunchPlan
from launcher.plan.generation import gpu_limit
from launcher.plan.host_limit import host_limit
from launcher.plan.queue import ExpectedCourse, expect
from launcher.plan.shapes import Offer, Shape, derive_shapes
from launcher.plan.verdict import fits
from launcher.plugins.base import Plugin
from launcher.plugins.decide import decide
from launcher.run import RunDir


def own_shape(config: Config) -> Shape:
    """The shape of resources.nodes and resources.gpus_per_node."""
    return Shape(nodes=config.resources.nodes, gpus_per_node=config.resources.gpus_per_node)


def with_shape(config: Config, shape: Shape) -> Config:
    """The configuration of the run on that shape."""
    resources = dataclasses.replace(config.resources, nodes=shape.nodes, gpus_per_node=shape.gpus_per_node)
    return dataclasses.replace(config, resources=resources)


def shapes_of(config: Config, place: Cluster) -> list[Shape]:
    """The shapes to choose among: those of resources.shapes, else those that are derived from the cluster."""
    if config.resources.shapes:
        listed = [Shape(nodes=one.nodes, gpus_per_node=one.gpus_per_node) for one in config.resources.shapes]
        return list(dict.fromkeys(listed))
    gpus, nodes = config.cluster.gpus_per_node, 1 if place.one_machine else _nodes(config, place)
    shapes = derive_shapes(gpus or config.resources.gpus_per_node, nodes, config.batch.global_batch_size)
    own = own_shape(config)
    return shapes if own in shapes else [*shapes, own]


def make_offers(
    config: Config,
    facts: Facts,
    place: Cluster,
    plugins: list[Plugin] | None = None,
    left: float = 1.0,
    freed: int = 0,
) -> list[Offer]:
    """An offer for each shape. `left`: the share of the training that is still to be done; `freed`: nodes of the caller's own
    job, which ends now."""
    offers: list[Offer] = []
    options: dict[Shape, dict[str, str]] = {}
    for shape in shapes_of(config, place):
        own = with_shape(config, shape)
        try:
            plan = decide(own, facts, plugins)
        except PlanError as error:
            offers.append(Offer(shape=shape, refused=str(error)))
            continue
        if (too_much := _too_much(own, plan)) is not None:
            offers.append(Offer(shape=shape, refused=too_much, fits=False))
            continue
        options[shape] = dict(plan.job_options)
        offers.append(_offer(own, plan, shape, left))
    return _with_starts(offers, options, place, facts.run_dir, freed)


def share_left(run: RunDir) -> float:
    """The share of the training that is still to be done, by the newest committed checkpoint; 1 if it is not known."""
    saved = committed(run.checkpoints)
    if not saved or not run.plan.is_file():
        return 1.0
    length: dict[str, Any] = run.read_json(run.plan).get("length") or {}
    total = length.get("steps")
    return max(1.0 - saved[0].manifest.step / total, 0.0) if total else 1.0


def _too_much(config: Config, plan: LaunchPlan) -> str | None:
    """What of the shape is too small for the plan; None if nothing is, or if it is not known. force=true does not count here:
    it trusts one plan, and does not compare."""
    if fits(config, plan) is not False or plan.memory is None or plan.room is None:
        return None
    size, host = gpu_limit(config.cluster.gpu_memory_gib, plan.generation), host_limit(config)
    if size is not None and plan.memory.total > size:
        return f"it needs {plan.memory.total:.1f} GiB per GPU, more than cluster.gpu_memory_gib={size:g}"
    where, has = host or ("", 0.0)
    return f"it needs {plan.room.host_gib:.1f} GiB of host memory per node, more than {where}={has:g}"


def _offer(config: Config, plan: LaunchPlan, shape: Shape, left: float) -> Offer:
    course = _course(config, plan, left)
    hours = course.wall_h if course else None
    return Offer(
        shape=shape,
        fits=fits(config, plan),
        takes_s=None if hours is None else hours * 3600,
        gpu_hours=course.gpu_hours if course else None,
        money=course.money if course else None,
    )


def _course(config: Config, plan: LaunchPlan, left: float) -> ExpectedCourse | None:
    """The course of the rest of the run."""
    if plan.time is None or plan.time.total_h is None:
        return None
    rest = dataclasses.replace(plan.time, total_h=plan.time.total_h * left)
    return expect(config, dataclasses.replace(plan, time=rest))


def _with_starts(
    offers: Sequence[Offer], options: dict[Shape, dict[str, str]], place: Cluster, folder: str, freed: int
) -> list[Offer]:
    """The offers with their starts, by the scheduler."""
    asked = [offer for offer in offers if offer.refused is None]
    now = time.time()
    starts = place.when_starts([options[offer.shape] for offer in asked], folder, freed)
    told = dict(zip((offer.shape for offer in asked), starts, strict=True))
    return [
        dataclasses.replace(
            offer,
            refused=start.refused,
            starts_in_s=None if start.at is None else max(start.at - now, 0.0),
            starts_how=start.how,
        )
        if (start := told.get(offer.shape))
        else offer
        for offer in offers
    ]


def _nodes(config: Config, place: Cluster) -> int | None:
    """Nodes of the partition of the run; None if the scheduler does not say."""
    try:
        found = place.partitions(str(config.cluster.sbatch.get("clusters") or ""))
    except LauncherError:
        return None
    wanted = str(config.cluster.sbatch.get("partition") or "").split(",")
    own = [one for one in found if one.name in wanted or (wanted == [""] and one.is_default)]
    return max((one.nodes for one in own), default=None)
