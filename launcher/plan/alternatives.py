"""Alternatives to the planned settings: the cheapest that fits, and the largest value that each setting can have."""

import dataclasses
import math

from launcher.config import Config
from launcher.errors import PlanError
from launcher.plan.fit import make_load
from launcher.plan.generation import gpu_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import MARGIN, Load
from launcher.plan.search import Alternative, Search, search_from
from launcher.plan.topology import divisors

GPU_SIZES_GIB = (16, 24, 32, 40, 48, 80, 96, 141, 180)
"""Memory sizes of existing GPUs, for a plan that does not fit the cluster's own."""
_STEP, _LONGEST = 256, 1 << 24


def find_alternatives(config: Config, plan: LaunchPlan) -> list[Alternative]:
    """The alternatives for GPUs of the cluster's size; empty if the size or the needed memory is not known."""
    load, size = make_load(config, plan), gpu_limit(config.cluster.gpu_memory_gib, plan.generation)
    if load is None or size is None:
        return []
    search = search_from(config, plan, load, size)
    kinds = (
        _cheapest,
        _largest_micro_batch,
        _longest_context,
        _longest_tiled_context,
        _longest_shared_context,
        _fewest_gpus,
        _four_bit,
    )
    found = [kind(search) for kind in kinds]
    if not search.fits(load):
        found.append(_larger_gpu(search))
    return [one for one in found if one is not None]


def _cheapest(search: Search) -> Alternative | None:
    """The setting with the fewest GPU-seconds per step that leaves MARGIN free, if possible on at most the planned GPUs."""
    worlds = list(search.worlds())
    requested = [one for one in worlds if one[0] * one[1] <= search.load.degrees.world_size]
    for some in (requested, [one for one in worlds if one not in requested]):
        found = [load for nodes, gpus in some for load in search.variants(nodes, gpus)]
        for load in sorted(found, key=search.cost):
            if search.fits(load, MARGIN):
                return search.made("cheapest", load)
    return None


def _largest_micro_batch(search: Search) -> Alternative | None:
    """The largest micro-batch with the other settings as planned that fits and breaks no rule."""
    load = search.load
    per_rank = load.sequences * load.accumulation
    return _last(
        search,
        "largest_micro_batch",
        [
            dataclasses.replace(load, sequences=micro, accumulation=per_rank // micro)
            for micro in divisors(per_rank)
            if search.works(load.strategy, load.degrees, micro)
        ],
    )


def _longest_context(search: Search) -> Alternative | None:
    """The longest sequences with the other settings as planned, in steps of 256 tokens."""
    return _longest(search, "longest_context", search.load)


def _longest_tiled_context(search: Search) -> Alternative | None:
    """The longest sequences if the MLPs compute them in tiles, with the other settings as planned; None if they do so already,
    or if tiles allow no longer sequences."""
    tiled = dataclasses.replace(search.load, mlp_tile_tokens=search.load.hidden_size)
    if search.load.mlp_tile_tokens is not None or not search.tiles():
        return None
    if _longest_length(search, tiled) <= _longest_length(search, search.load):
        return None
    return _longest(search, "longest_tiled_context", tiled)


def _longest_shared_context(search: Search) -> Alternative | None:
    """The longest sequences if each is shared by as many of the planned GPUs as the rules allow; None if that is planned."""
    world, strategy = search.load.degrees.world_size, search.load.strategy
    for size in reversed([one for one in divisors(world) if one > search.load.degrees.sequence]):
        other = search.shared(size)
        try:
            degrees = strategy.degrees(other.config.strategy, world)
        except PlanError:  # another degree does not divide the groups
            continue
        if degrees.sequence == size and other.works(strategy, degrees, 1):
            passes = search.batch // degrees.data_parallel_size
            load = dataclasses.replace(search.load, degrees=degrees, sequences=1, accumulation=passes)
            return _longest(other, "longest_shared_context", load)
    return None


def _longest(search: Search, kind: str, load: Load) -> Alternative | None:
    """This setting with the longest sequences that fit, in steps of 256 tokens."""
    length = _longest_length(search, load)
    return search.made(kind, dataclasses.replace(load, length=length)) if length else None


def _longest_length(search: Search, load: Load) -> int:
    """Tokens of the longest sequences of this setting that fit, a multiple of 256; 0 if none fit."""
    step = math.lcm(_STEP, load.degrees.sequence)
    low, high = 0, _LONGEST // step
    while low < high:
        middle = (low + high + 1) // 2
        fits = search.fits(dataclasses.replace(load, length=middle * step))
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * step


def _fewest_gpus(search: Search) -> Alternative | None:
    """The fewest GPUs on which any strategy fits and leaves MARGIN free."""
    for nodes, gpus in search.worlds():
        fitting = [load for load in search.variants(nodes, gpus, smallest=True) if search.fits(load, MARGIN)]
        if fitting:
            return search.made("fewest_gpus", min(fitting, key=search.cost))
    return None


def _four_bit(search: Search) -> Alternative | None:
    """The cheapest setting of the same adapter over 4-bit weights on the planned GPUs: QLoRA instead of LoRA."""
    other = search.quantised()
    if other is None:
        return None
    nodes, gpus = other.load.nodes, other.load.gpus_per_node
    fitting = [load for load in other.variants(nodes, gpus, smallest=True) if other.fits(load, MARGIN)]
    return other.made("four_bit", min(fitting, key=other.cost)) if fitting else None


def _larger_gpu(search: Search) -> Alternative | None:
    """The smallest existing GPU that holds the planned setting."""
    total = search.total(search.load)
    for size in GPU_SIZES_GIB:
        if size > search.size and total <= size * (1 - MARGIN / 2):
            return search.made("larger_gpu", search.load, f"cluster.gpu_memory_gib={size}")
    return None


def _last(search: Search, kind: str, loads: list[Load]) -> Alternative | None:
    fitting = [load for load in loads if search.fits(load)]
    return search.made(kind, fitting[-1]) if fitting else None
