"""The settings nearest to a plan that does not fit, each of which does fit by the same formulas."""

import dataclasses
import math
from collections.abc import Iterable, Iterator

from launcher.config import Config
from launcher.plan.adapter import Adapter
from launcher.plan.fit import make_load
from launcher.plan.generation import gpu_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import MARGIN, Load
from launcher.plan.search import Alternative, Search, search_from
from launcher.plan.topology import divisors

_STEP = 256
_ADAPTER = Adapter(r=16, target_modules="all-linear", four_bit=False, double_quant=False)
"""What plugin=[lora] trains by default (conf/plugin/lora.yaml)."""


def find_ways_out(config: Config, plan: LaunchPlan, host_gib: float | None = None) -> list[Alternative]:
    """One setting of each kind that fits, the nearest kind first; empty if nothing fits, or the memory is not known.

    `host_gib`: host memory of a node, where that is known otherwise than by the configuration. Every setting leaves MARGIN of
    a GPU free.
    """
    load = make_load(config, plan)
    if load is None:
        return []
    size = gpu_limit(config.cluster.gpu_memory_gib, plan.generation)
    search = search_from(config, plan, load, size or math.inf, host_gib)
    found = [one for one in _ways(search) if one is not None]
    if not found:  # the last resort: it changes what the model sees
        found = [one for one in (_first(search, "shorter", _shorter(search)),) if one is not None]
    found += [one for one in _with_adapters(search) if one is not None]
    nearest: dict[tuple[str, ...], Alternative] = {}
    for one in found:
        nearest.setdefault(one.overrides, one)
    return list(nearest.values())


def _ways(search: Search) -> Iterator[Alternative | None]:
    """By kind, those that change least of the run first; None if no setting of a kind fits."""
    load = search.load
    checkpointing = dataclasses.replace(load, checkpointing=True)
    here = load.nodes, load.gpus_per_node
    yield _first(search, "smaller_micro_batch", _micros(search, load))
    if not load.checkpointing:
        yield _first(search, "checkpointing", [checkpointing, *_micros(search, checkpointing)])
    if load.tiled_share == 1:
        tiled = dataclasses.replace(checkpointing, mlp_tile_tokens=load.hidden_size)
        if tiled.tiled_share < 1 and search.tiles():
            yield _first(search, "tiled_mlp", [tiled, *_micros(search, tiled)])
    yield _first(search, "strategy", _others(search, here, offloads=False))
    yield _adapted(search, "fewer_copies", search.without_copies(), here)
    yield _sharing(search, here)
    yield _adapted(search, "four_bit", search.quantised(), here)
    worlds = [*search.worlds()]
    more = [world for world in worlds if math.prod(world) > math.prod(here)]
    offloading = (one for world in (here, *more) for one in _others(search, world, offloads=True))
    yield _first(search, "offload", offloading)
    yield _first(
        search, "more_gpus", (one for world in more for one in _others(search, world, offloads=False))
    )
    fewer = [world for world in reversed(worlds) if math.prod(world) < math.prod(here)]
    yield _first(
        search, "fewer_gpus", (one for world in fewer for one in _others(search, world, offloads=False))
    )


def _with_adapters(search: Search) -> Iterator[Alternative | None]:
    """The same run with LoRA, and with QLoRA, if it trains all weights."""
    load = search.load
    here = load.nodes, load.gpus_per_node
    if load.adapter is None:
        for name, adapter in (
            ("lora", _ADAPTER), ("qlora", dataclasses.replace(_ADAPTER, four_bit=True, double_quant=True)),
        ):  # fmt: skip
            other = dataclasses.replace(search.adapted(adapter), plugins=(*search.plugins, name))
            yield _adapted(search, name, other, here)


def _first(search: Search, kind: str, loads: Iterable[Load]) -> Alternative | None:
    """The first of the settings that fits with MARGIN to spare."""
    found = next((load for load in loads if search.fits(load, MARGIN)), None)
    return None if found is None else search.made(kind, found)


def _micros(search: Search, load: Load) -> Iterator[Load]:
    """The setting with fewer sequences in a pass, most first."""
    per_rank = load.sequences * load.accumulation
    for micro in reversed(divisors(per_rank)):
        if micro < load.sequences and search.works(load.strategy, load.degrees, micro):
            yield dataclasses.replace(load, sequences=micro, accumulation=per_rank // micro)


def _sharing(search: Search, world: tuple[int, int]) -> Alternative | None:
    """The setting with the fewest ranks on these GPUs that share each sequence, which divides its activations."""
    load, size = search.load, 2 * search.load.degrees.sequence
    while size <= math.prod(world):
        if math.prod(world) % size == 0 and load.length % size == 0:
            other = search.shared(size)
            found = _first(other, "sequence", _others(other, world, offloads=False))
            if found is not None:
                return found
        size *= 2
    return None


def _others(search: Search, world: tuple[int, int], *, offloads: bool) -> Iterator[Load]:
    """The settings on these GPUs under every strategy that does or does not offload, those with the plan's first."""
    load = search.load

    def distance(other: Load) -> tuple[bool, int, bool]:
        smaller = max(load.sequences - other.sequences, 0)
        return (other.strategy != load.strategy, smaller, other.checkpointing != load.checkpointing)

    near = [
        one
        for one in search.variants(*world)
        if one.strategy.offloads is offloads and one.sequences <= load.sequences
    ]
    return iter(sorted(near, key=distance))


def _adapted(search: Search, kind: str, other: Search | None, world: tuple[int, int]) -> Alternative | None:
    """The first setting of another search, on these GPUs or else on others."""
    if other is None:
        return None
    worlds = [world, *(one for one in search.worlds() if math.prod(one) > math.prod(world))]
    return _first(
        other,
        kind,
        (one for some in worlds for off in (False, True) for one in _others(other, some, offloads=off)),
    )


def _shorter(search: Search) -> Iterator[Load]:
    """The smallest setting of the planned strategy with shorter sequences, longest first; one that fits, or none."""
    load = search.load
    per_rank = load.sequences * load.accumulation
    works = [micro for micro in divisors(per_rank) if search.works(load.strategy, load.degrees, micro)]
    if not works:
        return
    small = dataclasses.replace(
        load, checkpointing=True, sequences=works[0], accumulation=per_rank // works[0]
    )
    step = math.lcm(_STEP, load.degrees.sequence)
    shortest = load.generated // step  # a prompt needs a token beside the longest answer
    low, high = shortest, (load.length - 1) // step
    while low < high:
        middle = (low + high + 1) // 2
        fits = search.fits(dataclasses.replace(small, length=middle * step), MARGIN)
        low, high = (middle, high) if fits else (low, middle - 1)
    if low > shortest:
        yield dataclasses.replace(small, length=low * step)
