"""Finds the strategy of strategy.engine and strategy.zero_stage."""

import functools
from collections.abc import Mapping
from typing import Any

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.registry import Registry
from launcher.strategies.base import Strategy

AUTO = "auto"
"""The value of strategy.engine that leaves the choice to the planner."""

STRATEGIES = Registry(
    kind="strategy",
    key="strategy.engine",
    package="launcher.strategies",
    group="launcher.strategies",
    spec=Strategy,
    skipped=frozenset({"base", "registry", "degrees", "files", "settings", "trained"}),
)


def make_strategy(config: StrategyConfig) -> Strategy:
    """The configured strategy; ConfigError for an unknown one, PlanError for settings that exclude each other."""
    return _spec(config).configured(config)


def planned_strategy(values: Mapping[str, Any]) -> Strategy:
    """The strategy that plan.json holds."""
    return make_strategy(StrategyConfig(**{key: value for key, value in values.items() if key != "name"}))


@functools.cache
def candidates() -> tuple[Strategy, ...]:
    """The candidates of strategy=auto and of the alternatives: least sharding first, offloading last."""
    ordered = [
        (spec.order, one) for spec in STRATEGIES.all() if spec.order is not None for one in spec.presets()
    ]
    return tuple(one for _, one in sorted(ordered, key=lambda item: (item[1].offloads, item[0])))


def _spec(config: StrategyConfig) -> Strategy:
    """The spec of that name; if several share the engine, the one with the configured stage."""
    engine, stage = config.engine, config.zero_stage
    if engine in STRATEGIES.own_names():
        return _of_stage(STRATEGIES.find(engine), stage)
    shared = False
    # names that hold the key and the stage come first, so that fewer modules are imported
    for name in sorted(STRATEGIES.own_names(), key=lambda name: f"zero{stage}" not in name):
        spec = STRATEGIES.find(name)
        shared = shared or spec.engine == engine
        if spec.engine == engine and spec.zero_stage == stage:
            return spec
    if not shared:
        return _of_stage(STRATEGIES.find(engine), stage)
    raise PlanError(
        f"strategy.zero_stage={stage} must be 1, 2 or 3 with DeepSpeed; without sharding use strategy=ddp"
    )


def _of_stage(spec: Strategy, stage: int) -> Strategy:
    """The spec; PlanError if the configured stage is not its own."""
    if stage in (0, spec.zero_stage):
        return spec
    stages = [one for one in map(STRATEGIES.find, STRATEGIES.own_names()) if one.zero_stage]
    for one in stages:
        if one.zero_stage == stage:
            raise PlanError(
                f"strategy.zero_stage={stage} belongs to DeepSpeed, but strategy.engine={spec.name}; use strategy={one.name}"
            )
    names = [one.name for one in stages]
    raise PlanError(
        f"strategy.zero_stage={stage} is not a ZeRO stage; use strategy={', '.join(names[:-1])} or {names[-1]}"
    )
