"""Chooses the fastest setting that fits for strategy=auto and batch.micro_batch_size=auto, and says why."""

import dataclasses
from collections.abc import Callable

from launcher.config import Config, StrategyConfig
from launcher.errors import PlanError
from launcher.plan.combine import combination_of
from launcher.plan.facts import Facts
from launcher.plan.fit import make_load
from launcher.plan.generation import gpu_limit
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.memory import MARGIN, Load, estimate_memory
from launcher.plan.time import estimate_time
from launcher.strategies import AUTO, Degrees, Strategy

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
    from launcher.plan.search import divisors, strategies  # imported here: most runs choose both

    keys = [*(["strategy"] if free_strategy else []), *(["batch.micro_batch_size"] if free_micro else [])]
    plain = StrategyConfig(sequence_parallel_size=config.strategy.sequence_parallel_size)
    start = _with(config, plain if free_strategy else None, 1 if free_micro else None)
    plan = make(start)  # refuses what no choice can fix
    load, size = make_load(start, plan), gpu_limit(config.cluster.gpu_memory_gib, plan.generation)
    if load is None and facts.device != "cuda":
        return (
            start,
            f"{_keys_auto(keys)}: CPU ranks need no sharding, so {plan.strategy.name} with micro-batch 1 is used",
        )
    if load is None or size is None:
        raise PlanError(
            f"{keys[0]}=auto needs {'cluster.gpu_memory_gib, the memory of one GPU' if load else 'a memory estimate'}, "
            f"which this run does not have; set {'cluster.gpu_memory_gib or ' if load else ''}"
            f"{'strategy=zero3' if free_strategy else f'{keys[0]}=1'}"
        )
    per_rank = load.sequences * load.accumulation
    micros = divisors(per_rank) if free_micro else [load.sequences]
    choices = [(load.strategy, load.degrees)]
    if free_strategy:
        asked, topology = config.strategy, plan.topology
        choices = [
            (one, degrees)
            for one in strategies(asked, combination_of(start, plan), topology.world_size)
            for degrees in one.choices(asked, topology.world_size, topology.gpus_per_node)
        ]
    if not choices:
        raise PlanError(
            f"{keys[0]}=auto: no strategy works with the other keys of this group on {plan.topology.world_size} ranks; take "
            "them out, or name the strategy that they belong to"
        )
    best = _fastest(config, facts, load, choices, micros, size)
    chosen = best.strategy.config_on(best.degrees)
    strategy = _with_own(chosen, config.strategy) if free_strategy else None
    copies = f"{chosen.dp_replicate_size} copies and " if chosen.dp_replicate_size > 1 else ""
    seconds, total = estimate_time(config, best, facts).step_s, _total(config, best)
    reason = (
        f"{_keys_auto(keys)}: {best.strategy.name} with {copies}micro-batch {best.sequences} is the fastest of those that fit "
        f"{size:g} GiB ({total:.1f} GiB a GPU, {seconds:.3g} s a step by the plan)"
    )
    if total > size:
        reason = f"{_keys_auto(keys)}: nothing fits {size:g} GiB; {best.strategy.name} needs the least, {total:.1f} GiB"
    return _with(config, strategy, best.sequences if free_micro else None), reason


def _fastest(
    config: Config,
    facts: Facts,
    load: Load,
    choices: list[tuple[Strategy, Degrees]],
    micros: list[int],
    size: float,
) -> Load:
    """The candidate with the shortest step among those that leave MARGIN free, else among those that fit, else the smallest.

    Among equally fast ones, those within SAME of the shortest step, it is the first, which shards least.
    """
    candidates: list[tuple[Load, float]] = []
    for strategy, degrees in choices:
        for micro in micros:
            passes = load.sequences * load.accumulation // micro
            one = dataclasses.replace(
                load,
                strategy=strategy,
                degrees=degrees,
                sequences=micro,
                accumulation=passes,
            )
            candidates.append((one, _total(config, one)))
            if candidates[-1][1] > size:
                break  # more sequences will not fit either
    for room in (size * (1 - MARGIN), size):
        fitting = [one for one, total in candidates if total <= room]
        if fitting:
            seconds = [estimate_time(config, one, facts).step_s for one in fitting]
            near = min(seconds) * (1 + SAME)
            return next(one for one, step_s in zip(fitting, seconds, strict=True) if step_s <= near)
    return min(candidates, key=lambda one: one[1])[0]


def _total(config: Config, load: Load) -> float:
    return estimate_memory(load).total


def _with(config: Config, strategy: StrategyConfig | None, micro: int | None) -> Config:
    batch = config.batch if micro is None else dataclasses.replace(config.batch, micro_batch_size=micro)
    return dataclasses.replace(config, strategy=strategy or config.strategy, batch=batch)


def _with_own(chosen: StrategyConfig, asked: StrategyConfig) -> StrategyConfig:
    """The chosen strategy with the settings that the planner does not choose."""
    return dataclasses.replace(
        chosen,
        sequence_parallel_size=asked.sequence_parallel_size,
        overlap_comm=asked.overlap_comm,
        deepspeed=asked.deepspeed,
        cpu_ram_efficient_loading=asked.cpu_ram_efficient_loading,
    )


def _keys_auto(keys: list[str]) -> str:
    return " ".join(f"{key}=auto" for key in keys)
