"""Alternatives to the planned settings: the cheapest that fits, and the largest value that each setting can have."""

import bisect
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from launcher.config import Config, StrategyConfig
from launcher.errors import PlanError
from launcher.plan.combine import combination_of
from launcher.plan.facts import Facts
from launcher.plan.fit import make_load
from launcher.plan.generation import gpu_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import MARGIN, Load, estimate_memory, estimate_room
from launcher.plan.rules import Combination, broken_rules
from launcher.plan.time import estimate_time
from launcher.plan.traits import Traits
from launcher.plan.verdict import host_limit
from launcher.strategies import Degrees, Strategy, candidates
from launcher.units import significant

GPU_SIZES_GIB = (16, 24, 32, 40, 48, 80, 96, 141, 180)
"""Memory sizes of existing GPUs, for a plan that does not fit the cluster's own."""
_MOST_NODES, _GPUS_OF_A_NODE = 64, 8
_MOST_SEQUENCES, _STEP, _LONGEST = 16, 256, 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One alternative setting with its memory, time and cost."""

    kind: str
    """cheapest, largest_micro_batch, longest_context, longest_shared_context, fewest_gpus, four_bit or larger_gpu; and for a
    plan that does not fit, how it could: smaller_micro_batch, checkpointing, strategy, fewer_copies, sequence, four_bit,
    offload, more_gpus, fewer_gpus, shorter, lora or qlora."""
    overrides: tuple[str, ...]
    """Overrides to type for it; empty if it is the planned setting."""
    gpus: int
    """Number of GPUs."""
    total_gib: float
    """Peak GiB of one GPU."""
    step_s: float
    """Seconds of a step."""
    gpu_hours_per_1000_steps: float
    """GPU-hours of 1,000 steps."""


def find_alternatives(config: Config, plan: LaunchPlan) -> list[Alternative]:
    """The alternatives for GPUs of the cluster's size; empty if the size or the needed memory is not known."""
    load, size = make_load(config, plan), gpu_limit(config.cluster.gpu_memory_gib, plan.generation)
    if load is None or size is None:
        return []
    search = search_from(config, plan, load, size)
    found = [search.cheapest(), search.largest_micro_batch(), search.longest_context()]
    found += [search.longest_shared_context(), search.fewest_gpus(), search.four_bit()]
    if not search.fits(load):
        found.append(search.larger_gpu())
    return [one for one in found if one is not None]


def search_from(
    config: Config, plan: LaunchPlan, load: Load, size: float, host: float | None = None
) -> "Search":
    """The search near a plan; `host`: GiB of a node if that is less than what the configuration says."""
    known = host_limit(config)
    limits = [one for one in (host, known[1] if known else None) if one is not None]
    run = combination_of(config, plan)
    return Search(config, plan.facts, load, run, size, plan.plugins, min(limits, default=None))


def strategies(config: StrategyConfig, run: Combination, world_size: int) -> Iterator[Strategy]:
    """The strategies that work for this run on `world_size` ranks: those whose combination breaks no rule."""
    for strategy in candidates():
        if not strategy.takes(config):
            continue  # it would refuse these keys
        try:
            degrees = strategy.degrees(config, world_size)
        except PlanError:  # a degree does not divide these ranks
            continue
        if not any(broken_rules(dataclasses.replace(run, strategy=strategy, degrees=degrees))):
            yield strategy


def divisors(number: int) -> list[int]:
    """All divisors of the number, in ascending order."""
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


class Search:
    """A search over settings near one plan, for one size of GPU."""

    def __init__(
        self,
        config: Config,
        facts: Facts,
        load: Load,
        run: Combination,
        size: float,
        declared: Mapping[str, Traits],
        host: float | None = None,
    ) -> None:
        self.declared = declared
        """What the planned plugins declare about themselves."""
        self.config, self.facts, self.load, self.run, self.size = config, facts, load, run, size
        self.plugins = list(config.plugins)
        """Names for plugin=[...] with these settings."""
        self.options: list[str] = []
        """Overrides that these plugins need besides."""
        self.host = host
        """GiB of host memory of a node; None if that is not known."""
        self._totals: dict[tuple[object, ...], float] = {}
        self.batch = load.sequences * load.accumulation * load.degrees.data_parallel_size

    def total(self, load: Load) -> float:
        """GiB that a GPU needs; each setting is computed once."""
        key = (load.strategy.name, load.degrees, load.checkpointing, load.sequences, load.length)
        if key not in self._totals:
            self._totals[key] = estimate_memory(load).total
        return self._totals[key]

    def fits(self, load: Load, margin: float = 0.0) -> bool:
        """Whether it fits the cluster's GPUs and leaves this share of them free, and fits the host memory of a node."""
        if self.total(load) > self.size * (1 - margin):
            return False
        return self.host is None or estimate_room(load).host_gib <= self.host

    def cheapest(self) -> Alternative | None:
        """The setting with the fewest GPU-seconds per step that leaves MARGIN free, if possible on at most the planned GPUs."""
        worlds = list(self.worlds())
        requested = [one for one in worlds if one[0] * one[1] <= self.load.degrees.world_size]
        for some in (requested, [one for one in worlds if one not in requested]):
            found = [load for nodes, gpus in some for load in self.variants(nodes, gpus)]
            for load in sorted(found, key=self.cost):
                if self.fits(load, MARGIN):
                    return self.made("cheapest", load)
        return None

    def largest_micro_batch(self) -> Alternative | None:
        """The largest micro-batch with the other settings as planned."""
        per_rank = self.load.sequences * self.load.accumulation
        return self._last(
            "largest_micro_batch",
            [
                dataclasses.replace(self.load, sequences=micro, accumulation=per_rank // micro)
                for micro in divisors(per_rank)
            ],
        )

    def longest_context(self) -> Alternative | None:
        """The longest sequences with the other settings as planned, in steps of 256 tokens."""
        return self._longest("longest_context", self.load)

    def longest_shared_context(self) -> Alternative | None:
        """The longest sequences if as many of the planned GPUs as the rules allow share each; None if they do so already."""
        world, strategy = self.load.degrees.world_size, self.load.strategy
        for size in reversed([one for one in divisors(world) if one > self.load.degrees.sequence]):
            other = self.shared(size)
            try:
                degrees = strategy.degrees(other.config.strategy, world)
            except PlanError:  # another degree does not divide the groups
                continue
            if degrees.sequence == size and other.works(strategy, degrees, 1):
                passes = self.batch // degrees.data_parallel_size
                load = dataclasses.replace(self.load, degrees=degrees, sequences=1, accumulation=passes)
                return other._longest("longest_shared_context", load)
        return None

    def _longest(self, kind: str, load: Load) -> Alternative | None:
        """This setting with the longest sequences that fit, in steps of 256 tokens."""
        step = math.lcm(_STEP, load.degrees.sequence)
        low, high = 0, _LONGEST // step
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.fits(dataclasses.replace(load, length=middle * step))
            low, high = (middle, high) if fits else (low, middle - 1)
        return self.made(kind, dataclasses.replace(load, length=low * step)) if low else None

    def fewest_gpus(self) -> Alternative | None:
        """The fewest GPUs on which any strategy fits and leaves MARGIN free."""
        for nodes, gpus in self.worlds():
            fitting = [load for load in self.variants(nodes, gpus, smallest=True) if self.fits(load, MARGIN)]
            if fitting:
                return self.made("fewest_gpus", min(fitting, key=self.cost))
        return None

    def four_bit(self) -> Alternative | None:
        """The cheapest setting of the same adapter over 4-bit weights on the planned GPUs: QLoRA instead of LoRA."""
        search = self.quantised()
        if search is None:
            return None
        gpus = self.load.gpus_per_node
        fitting = [
            load
            for load in search.variants(self.load.degrees.world_size // gpus, gpus, smallest=True)
            if search.fits(load, MARGIN)
        ]
        return search.made("four_bit", min(fitting, key=search.cost)) if fitting else None

    def without_copies(self) -> "Search | None":
        """The search for the same run with one copy of everything; None if it has no more."""
        keys = {
            key: value
            for key in ("dp_replicate_size", "hpz_size")
            if (value := getattr(self.config.strategy, key)) > 1
        }
        if not keys:
            return None
        strategy = dataclasses.replace(self.config.strategy, dp_replicate_size=1, hpz_size=1)
        config = dataclasses.replace(self.config, strategy=strategy)
        search = Search(config, self.facts, self.load, self.run, self.size, self.declared, self.host)
        search.options = [f"strategy.{key}=1" for key in keys]
        return search

    def shared(self, sequence_parallel_size: int) -> "Search":
        """The search for the same run in which that many ranks share each sequence."""
        strategy = dataclasses.replace(self.config.strategy, sequence_parallel_size=sequence_parallel_size)
        config = dataclasses.replace(self.config, strategy=strategy)
        search = Search(config, self.facts, self.load, self.run, self.size, self.declared, self.host)
        search.options = [f"strategy.sequence_parallel_size={sequence_parallel_size}"]
        return search

    def quantised(self) -> "Search | None":
        """The search for the same adapter over 4-bit weights; None without an adapter, and if its weights have 4 bits."""
        adapter, declared = self.load.adapter, self.declared
        instead = {name: plugin.four_bit for name, plugin in declared.items() if plugin.four_bit}
        if adapter is None or adapter.four_bit or not instead:
            return None
        quantised = dataclasses.replace(adapter, four_bit=True, double_quant=True)
        load = dataclasses.replace(self.load, adapter=quantised)
        run = dataclasses.replace(self.run, four_bit=True)
        search = Search(self.config, self.facts, load, run, self.size, declared, self.host)
        search.plugins = [instead[name][0] if name in instead else name for name in self.plugins]
        search.options = [option for typed in instead.values() for option in typed[1:]]
        return search

    def larger_gpu(self) -> Alternative | None:
        """The smallest existing GPU that holds the planned setting."""
        total = self.total(self.load)
        for size in GPU_SIZES_GIB:
            if size > self.size and total <= size * (1 - MARGIN / 2):
                return self.made("larger_gpu", self.load, f"cluster.gpu_memory_gib={size}")
        return None

    def _last(self, kind: str, loads: list[Load]) -> Alternative | None:
        fitting = [load for load in loads if self.fits(load)]
        return self.made(kind, fitting[-1]) if fitting else None

    def worlds(self) -> Iterator[tuple[int, int]]:
        """(nodes, GPUs per node) whose groups that share a sequence divide the global batch, in ascending order."""
        most = max(self.config.cluster.gpus_per_node or _GPUS_OF_A_NODE, self.load.gpus_per_node)
        for gpus in range(1, most + 1):
            if self._divides(gpus) and (gpus & (gpus - 1) == 0 or gpus == most):
                yield 1, gpus
        nodes, requested = 2, max(self.load.degrees.world_size // self.load.gpus_per_node, 1)
        while nodes <= max(_MOST_NODES, requested):
            if self._divides(nodes * most):
                yield nodes, most
            nodes *= 2

    def _divides(self, gpus: int) -> bool:
        sequence = self.config.strategy.sequence_parallel_size
        return gpus % sequence == 0 and self.batch % (gpus // sequence) == 0

    def variants(self, nodes: int, gpus: int, *, smallest: bool = False) -> Iterator[Load]:
        """The plan's settings on these GPUs that fit, under every strategy, with and without checkpointing."""
        world = nodes * gpus
        for strategy in strategies(self.config.strategy, self.run, world):
            degrees = strategy.degrees(self.config.strategy, world)
            per_rank = self.batch // degrees.data_parallel_size
            if not strategy.worthwhile(degrees) or not per_rank:
                continue
            micros = [
                micro
                for micro in divisors(per_rank)
                if micro <= _MOST_SEQUENCES and self.works(strategy, degrees, micro)
            ]
            micros = micros[:1] if smallest else micros
            for checkpointing in {self.load.checkpointing, True}:
                loads = [
                    dataclasses.replace(
                        self.load,
                        strategy=strategy,
                        degrees=degrees,
                        gpus_per_node=gpus,
                        checkpointing=checkpointing,
                        sequences=micro,
                        accumulation=per_rank // micro,
                    )
                    for micro in micros
                ]
                # where some sequences do not fit, more of them do not fit either
                yield from loads[: bisect.bisect_left(loads, True, key=lambda load: not self.fits(load))]

    def works(self, strategy: Strategy, degrees: Degrees, micro: int) -> bool:
        """Whether no rule forbids this micro-batch."""
        run = dataclasses.replace(self.run, strategy=strategy, degrees=degrees, micro_batch_size=micro)
        return not any(broken_rules(run))

    def _step_s(self, load: Load) -> float:
        return estimate_time(self.config, load, self.facts).step_s

    def cost(self, load: Load) -> tuple[float, float, bool]:
        """Sort key: GPU-seconds per step; among equals the faster one, then the one without recomputation."""
        seconds = self._step_s(load)
        return (round(seconds * load.degrees.world_size, 6), seconds, load.checkpointing)

    def made(self, kind: str, load: Load, *more: str) -> Alternative:
        seconds = self._step_s(load)
        return Alternative(
            kind=kind,
            overrides=(*self._overrides(load), *self.options, *more),
            gpus=load.degrees.world_size,
            total_gib=round(self.total(load), 2),
            step_s=seconds,
            gpu_hours_per_1000_steps=significant(seconds * load.degrees.world_size / 3.6),
        )

    def _overrides(self, load: Load) -> Iterator[str]:
        """The overrides for what differs from the planned setting."""
        same: Callable[[str], bool] = lambda name: getattr(load, name) == getattr(self.load, name)  # noqa: E731
        if not same("strategy"):
            yield f"strategy={load.strategy.name}"
        if (
            load.degrees.world_size // load.gpus_per_node
            != self.load.degrees.world_size // self.load.gpus_per_node
        ):
            yield f"resources.nodes={load.degrees.world_size // load.gpus_per_node}"
        if not same("gpus_per_node"):
            yield f"resources.gpus_per_node={load.gpus_per_node}"
        if not same("sequences"):
            yield f"batch.micro_batch_size={load.sequences}"
        if not same("length"):
            yield f"model.max_length={load.length}"
        more = [] if same("checkpointing") else ["gradient_checkpointing"]
        if more or self.plugins != list(self.config.plugins):
            yield f"'plugin=[{','.join([*self.plugins, *more])}]'"
