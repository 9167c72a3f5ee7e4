"""Chooses the fastest setting that fits for strategy=auto and batch.micro_batch_size=auto, and says why."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from launcher.config import Config, StrategyConfig
from launcher.errors import PlanError
from launcher.plan.broken_rules import broken_rules
from launcher.plan.combination import Combination
from launcher.plan.combine import combination_of
from launcher.plan.facts import Facts
from launcher.plan.fit import make_load
from launcher.plan.generation import gpu_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.make import micro_batch_size
from launcher.plan.memory import MARGIN, Load, estimate_memory
from launcher.plan.time import estimate_time
from launcher.plan.topology import Topology, divisors
from launcher.strategies import AUTO, Degrees, Strategy

_Choice = tuple[Strategy, Degrees]
SAME = 0.02
"""Steps whose planned times differ by at most this share are equally fast: the estimate is not more exact."""


def settle(config: Config, facts: Facts, make: Callable[[Config], LaunchPlan]) -> tuple[Config, str | None]:
    """The configuration with both values chosen, and the reason; unchanged, with None, if neither is auto.

    `make` returns the plan of a configuration after its plugins. PlanError if a choice needs something that is not known.
    """
    free_strategy = config.strategy.engine == AUTO
    free_micro = config.batch.micro_batch_size == AUTO
    if not (free_strategy or free_micro):
        return config, None
    keys = [*(["strategy"] if free_strategy else []), *(["batch.micro_batch_size"] if free_micro else [])]
    start, plan = _start(config, make)
    load, size = make_load(start, plan), gpu_limit(config.cluster.gpu_memory_gib, plan.generation)
    if load is None and facts.device != "cuda":
        return (
            start,
            f"{_keys_auto(keys)}: the memory of CPU ranks is not estimated, so {plan.strategy.name} with micro-batch "
            f"{plan.batch.micro_batch_size} is used",
        )
    if load is None or size is None:
        raise PlanError(
            f"{keys[0]}=auto needs {'cluster.gpu_memory_gib, the memory of one GPU' if load else 'a memory estimate'}, "
            f"which this run does not have; set {'cluster.gpu_memory_gib or ' if load else ''}"
            f"{'strategy=zero3' if free_strategy else f'{keys[0]}=1'}"
        )
    groups: Iterable[list[_Choice]] = [[(load.strategy, load.degrees)]]
    run = combination_of(start, plan)
    if free_strategy:
        groups = _choices(config, run, plan.topology)
    tried = _try(config, load, run, groups, size, free_micro=free_micro)
    if not tried:
        raise PlanError(
            f"{keys[0]}=auto: no strategy works with the other keys of this group on {plan.topology.world_size} ranks; take "
            "them out, or name the strategy that they belong to"
        )
    best = _fastest(config, facts, tried, size)
    chosen = best.strategy.config_on(best.degrees)
    strategy = _with_own(chosen, config.strategy, best.degrees) if free_strategy else None
    settings = [f"micro-batch {best.sequences}"]
    if chosen.dp_replicate_size > 1:
        settings.insert(0, f"{chosen.dp_replicate_size} copies")
    if best.degrees.sequence > 1:
        settings.insert(0, f"sequences shared by {best.degrees.sequence} GPUs")
    named = " and ".join(filter(None, [", ".join(settings[:-1]), settings[-1]]))
    seconds, total = estimate_time(config, best, facts).step_s, _total(config, best)
    reason = (
        f"{_keys_auto(keys)}: {best.strategy.name} with {named} is the fastest of those that fit "
        f"{size:g} GiB ({total:.1f} GiB a GPU, {seconds:.3g} s a step by the plan)"
    )
    if total > size:
        reason = f"{_keys_auto(keys)}: nothing fits {size:g} GiB; {best.strategy.name} needs the least, {total:.1f} GiB"
    return _with(config, strategy, best.sequences if free_micro else None), reason


def _sequence_sizes(config: Config, world_size: int) -> list[int]:
    """The values of strategy.sequence_parallel_size to try, in ascending order.

    A degree that the configuration sets is kept; otherwise they are those that divide the ranks and the longest row, and whose
    groups divide the global batch.
    """
    asked, batch = config.strategy.sequence_parallel_size, config.batch
    if asked != 1 or world_size < 1:
        return [asked]
    micro = 1 if batch.micro_batch_size == AUTO else micro_batch_size(config)
    work = [
        size
        for size in divisors(world_size)
        if config.model.max_length % size == 0 and batch.global_batch_size % (world_size // size * micro) == 0
    ]
    return work or [asked]


def _start(config: Config, make: Callable[[Config], LaunchPlan]) -> tuple[Config, LaunchPlan]:
    """The simplest configuration and its plan, which refuses what no choice can fix.

    A free micro-batch is the smallest that can be planned: some methods have a rule against 1. The ranks share sequences if the
    global batch has fewer sequences than there are ranks.
    """
    if config.batch.micro_batch_size != AUTO:
        return _start_with(config, None, make)
    first: PlanError | None = None
    for micro in divisors(max(config.batch.global_batch_size, 1)):
        try:
            return _start_with(config, micro, make)
        except PlanError as error:
            first = first or error
    assert first is not None
    raise first


def _start_with(
    config: Config, micro: int | None, make: Callable[[Config], LaunchPlan]
) -> tuple[Config, LaunchPlan]:
    """The simplest configuration with this micro-batch (None: the configured one), and its plan."""
    if config.strategy.engine != AUTO:
        start = _with(config, None, micro)
        return start, make(start)
    asked = config.strategy.sequence_parallel_size
    size = _sequence_sizes(config, config.resources.nodes * config.resources.gpus_per_node)[0]
    start = _with(config, StrategyConfig(sequence_parallel_size=size), micro)
    try:
        return start, make(start)
    except PlanError:
        if size == asked:
            raise
    start = _with(config, StrategyConfig(sequence_parallel_size=asked), micro)
    return start, make(start)


def _choices(config: Config, run: Combination, topology: Topology) -> Iterator[list[_Choice]]:
    """The strategies that work and their degrees, for each number of ranks that share a sequence, in ascending order."""
    from launcher.plan.search import strategies  # imported here: most runs choose both

    world, gpus = topology.world_size, topology.gpus_per_node
    for sequence in _sequence_sizes(config, world):
        asked = dataclasses.replace(config.strategy, sequence_parallel_size=sequence)
        works = strategies(asked, run, world)
        found = [(one, degrees) for one in works for degrees in one.choices(asked, world, gpus)]
        yield [(one, degrees) for one, degrees in found if degrees.sequence == sequence]


def _try(
    config: Config,
    load: Load,
    run: Combination,
    groups: Iterable[list[_Choice]],
    size: float,
    *,
    free_micro: bool,
) -> list[tuple[Load, float]]:
    """Each choice with each micro-batch that divides the sequences of its ranks and breaks no rule, and the GiB that it needs.

    Larger groups of ranks that share a sequence are not tried once something fits without offloading: they are never faster,
    since the ranks exchange more and a step has more passes.
    """
    tried: list[tuple[Load, float]] = []
    batch = load.sequences * load.accumulation * load.degrees.data_parallel_size
    for choices in groups:
        for strategy, degrees in choices:
            per_rank = batch // degrees.data_parallel_size
            for micro in divisors(per_rank) if free_micro else [load.sequences]:
                tries = dataclasses.replace(run, strategy=strategy, degrees=degrees, micro_batch_size=micro)
                if free_micro and any(broken_rules(tries)):
                    continue
                passes = per_rank // micro
                one = dataclasses.replace(
                    load, strategy=strategy, degrees=degrees, sequences=micro, accumulation=passes
                )
                tried.append((one, _total(config, one)))
                if tried[-1][1] > size:
                    break  # more sequences will not fit either
        if any(total <= size * (1 - MARGIN) and not one.strategy.offloads for one, total in tried):
            break
    return tried


def _fastest(config: Config, facts: Facts, tried: list[tuple[Load, float]], size: float) -> Load:
    """The setting with the shortest step among those that leave MARGIN free, else among those that fit, else the smallest.

    Among equally fast settings (within SAME of the shortest step) it is the first one, which shares sequences and shards state
    least.
    """
    for room in (size * (1 - MARGIN), size):
        fitting = [one for one, total in tried if total <= room]
        if fitting:
            seconds = [estimate_time(config, one, facts).step_s for one in fitting]
            near = min(seconds) * (1 + SAME)
            return next(one for one, step_s in zip(fitting, seconds, strict=True) if step_s <= near)
    return min(tried, key=lambda one: one[1])[0]


def _total(config: Config, load: Load) -> float:
    return estimate_memory(load).total


def _with(config: Config, strategy: StrategyConfig | None, micro: int | None) -> Config:
    batch = config.batch if micro is None else dataclasses.replace(config.batch, micro_batch_size=micro)
    return dataclasses.replace(config, strategy=strategy or config.strategy, batch=batch)


def _with_own(chosen: StrategyConfig, asked: StrategyConfig, degrees: Degrees) -> StrategyConfig:
    """The chosen strategy with the settings that the planner does not choose."""
    return dataclasses.replace(
        chosen,
        sequence_parallel_size=degrees.sequence,
        overlap_comm=asked.overlap_comm,
        deepspeed=asked.deepspeed,
        cpu_ram_efficient_loading=asked.cpu_ram_efficient_loading,
    )


def _keys_auto(keys: list[str]) -> str:
    return " ".join(f"{key}=auto" for key in keys)
