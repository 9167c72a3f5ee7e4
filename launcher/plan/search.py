"""A search over the settings near one plan: which work, which fit, what each costs."""

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from launcher.config import Config, StrategyConfig
from launcher.errors import PlanError
from launcher.plan.adapter import Adapter
from launcher.plan.broken_rules import broken_rules
from launcher.plan.combination import Combination
from launcher.plan.combine import combination_of
from launcher.plan.facts import Facts
from launcher.plan.host_limit import host_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import Load, estimate_memory, estimate_room
from launcher.plan.time import estimate_time
from launcher.plan.topology import divisors
from launcher.plan.traits import Traits
from launcher.strategies import Degrees, Strategy, candidates
from launcher.units import significant

_MOST_NODES, _GPUS_OF_A_NODE, _MOST_SEQUENCES = 64, 8, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One alternative setting with its memory, time and cost."""

    kind: str
    """cheapest, largest_micro_batch, longest_context, longest_tiled_context, longest_shared_context, fewest_gpus, four_bit or
    larger_gpu; and for a plan that does not fit, how it could: smaller_micro_batch, checkpointing, tiled_mlp, strategy,
    fewer_copies, sequence, four_bit, offload, more_gpus, fewer_gpus, shorter, lora or qlora."""
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


def search_from(
    config: Config, plan: LaunchPlan, load: Load, size: float, host: float | None = None
) -> "Search":
    """The search near a plan; `host`: GiB of a node if that is less than what the configuration says."""
    known = host_limit(config)
    limits = [one for one in (host, known[1] if known else None) if one is not None]
    run = combination_of(config, plan)
    return Search(
        config=config,
        facts=plan.facts,
        load=load,
        run=run,
        size=size,
        declared=plan.plugins,
        plugins=tuple(config.plugins),
        host=min(limits, default=None),
    )


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


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search over settings near one plan, for one size of GPU."""

    config: Config
    facts: Facts
    load: Load
    """The planned setting."""
    run: Combination
    size: float
    """GiB of one GPU."""
    declared: Mapping[str, Traits]
    """What the planned plugins declare about themselves."""
    plugins: tuple[str, ...]
    """Names for plugin=[...] with these settings."""
    options: tuple[str, ...] = ()
    """Overrides that these settings need besides."""
    host: float | None = None
    """GiB of host memory of a node; None if that is not known."""
    totals: dict[tuple[object, ...], float] = field(
        default_factory=dict[tuple[object, ...], float], init=False
    )
    """The memory of each setting that was computed."""

    @property
    def batch(self) -> int:
        """Sequences of a step on all ranks."""
        return self.load.sequences * self.load.accumulation * self.load.degrees.data_parallel_size

    def total(self, load: Load) -> float:
        """GiB that a GPU needs; each setting is computed once."""
        key = (
            load.strategy.name, load.degrees, load.checkpointing, load.sequences, load.length, load.mlp_tile_tokens,
        )  # fmt: skip
        if key not in self.totals:
            self.totals[key] = estimate_memory(load).total
        return self.totals[key]

    def fits(self, load: Load, margin: float = 0.0) -> bool:
        """Whether it fits the cluster's GPUs and leaves this share of them free, and fits the host memory of a node."""
        if self.total(load) > self.size * (1 - margin):
            return False
        return self.host is None or estimate_room(load).host_gib <= self.host

    def without_copies(self) -> "Search | None":
        """The search for the same run with one copy of everything; None if the run has only one copy already."""
        strategy = self.config.strategy
        more = [key for key in ("dp_replicate_size", "hpz_size") if getattr(strategy, key) > 1]
        return self._under(**dict.fromkeys(more, 1)) if more else None

    def shared(self, sequence_parallel_size: int) -> "Search":
        """The search for the same run in which that many ranks share each sequence."""
        return self._under(sequence_parallel_size=sequence_parallel_size)

    def _under(self, **keys: int) -> "Search":
        """The search for the same run with other degrees."""
        config = dataclasses.replace(self.config, strategy=dataclasses.replace(self.config.strategy, **keys))
        options = tuple(f"strategy.{key}={value}" for key, value in keys.items())
        return dataclasses.replace(self, config=config, options=options)

    def quantised(self) -> "Search | None":
        """The search for the same adapter over 4-bit weights; None without an adapter, and if its weights have 4 bits."""
        adapter = self.load.adapter
        instead = {name: plugin.four_bit for name, plugin in self.declared.items() if plugin.four_bit}
        if adapter is None or adapter.four_bit or not instead:
            return None
        return dataclasses.replace(
            self.adapted(dataclasses.replace(adapter, four_bit=True, double_quant=True)),
            plugins=tuple(instead[name][0] if name in instead else name for name in self.plugins),
            options=tuple(option for typed in instead.values() for option in typed[1:]),
        )

    def adapted(self, adapter: Adapter) -> "Search":
        """The search for the same run that trains this adapter."""
        load = dataclasses.replace(self.load, adapter=adapter)
        run = dataclasses.replace(self.run, adapter=True, four_bit=adapter.four_bit)
        return dataclasses.replace(self, load=load, run=run)

    def worlds(self) -> Iterator[tuple[int, int]]:
        """(nodes, GPUs per node) whose groups that share a sequence divide the global batch, in ascending order."""
        most = max(self.config.cluster.gpus_per_node or _GPUS_OF_A_NODE, self.load.gpus_per_node)
        for gpus in range(1, most + 1):
            if self._divides(gpus) and (gpus & (gpus - 1) == 0 or gpus == most):
                yield 1, gpus
        nodes, requested = 2, max(self.load.nodes, 1)
        while nodes <= max(_MOST_NODES, requested):
            if self._divides(nodes * most):
                yield nodes, most
            nodes *= 2

    def _divides(self, gpus: int) -> bool:
        sequence = self.config.strategy.sequence_parallel_size
        return gpus % sequence == 0 and self.batch % (gpus // sequence) == 0

    def variants(self, nodes: int, gpus: int, *, smallest: bool = False) -> Iterator[Load]:
        """The plan's settings on these GPUs that fit, under every strategy, with checkpointing as planned and switched on."""
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

    def tiles(self) -> bool:
        """Whether no rule forbids that the MLPs compute in tiles."""
        return not any(broken_rules(dataclasses.replace(self.run, tiles=True)))

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
        if not same("nodes"):
            yield f"resources.nodes={load.nodes}"
        if not same("gpus_per_node"):
            yield f"resources.gpus_per_node={load.gpus_per_node}"
        if not same("sequences"):
            yield f"batch.micro_batch_size={load.sequences}"
        if not same("length"):
            yield f"model.max_length={load.length}"
        if not same("mlp_tile_tokens"):
            yield f"trainer.mlp_tile_tokens={load.mlp_tile_tokens}"
        more = [] if same("checkpointing") else ["gradient_checkpointing"]
        if more or self.plugins != tuple(self.config.plugins):
            yield f"'plugin=[{','.join([*self.plugins, *more])}]'"
