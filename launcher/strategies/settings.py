"""Settings that only some strategies have, and what is refused with the others."""

from launcher.config import StrategyConfig
from launcher.errors import PlanError


def check_loading(config: StrategyConfig, strategy: str, *, has_effect: bool, loads_shards: bool) -> None:
    """PlanError if cpu_ram_efficient_loading has no effect with the strategy."""
    if config.cpu_ram_efficient_loading and not has_effect:
        other = (
            "where every rank loads its own share"
            if loads_shards
            else "where every rank needs the whole model"
        )
        raise PlanError(
            f"strategy.cpu_ram_efficient_loading=true has no effect with strategy={strategy}, {other}; use "
            "strategy=fsdp2, or take it out"
        )


def check_copies(config: StrategyConfig, strategy: str, *, copies: bool, second_copy: bool) -> None:
    """PlanError for copies that the strategy cannot have: of the sharded state, or of the weights within a node."""
    if config.dp_replicate_size != 1 and not copies:
        raise PlanError(
            f"strategy.dp_replicate_size={config.dp_replicate_size} works with strategy=fsdp2, but not with {strategy}; "
            "use strategy=fsdp2, strategy.hpz_size with strategy=zero3, or take it out"
        )
    if config.hpz_size != 1 and not second_copy:
        raise PlanError(
            f"strategy.hpz_size={config.hpz_size} works with strategy=zero3, but not with {strategy}; use strategy=zero3, "
            "strategy.dp_replicate_size with strategy=fsdp2, or take it out"
        )
