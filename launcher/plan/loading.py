"""Which ranks load the weights of a model that is sharded afterwards."""

from launcher.plan.adapter import Adapter
from launcher.strategies.base import Strategy


def loads_once(strategy: Strategy, adapter: Adapter | None, *, moves_weights: bool) -> bool:
    """Whether one rank of each node loads the weights, and the others get theirs from rank 0 (strategy: the acting one).

    Every rank loads quantised weights, which torch cannot broadcast with their constants, and those that an adapter's
    initialisation takes a part of (PiSSA, OLoRA), since each rank keeps that part for the export.
    """
    quantised = adapter is not None and (adapter.four_bit or adapter.eight_bit)
    return strategy.cpu_ram_efficient_loading and not quantised and not moves_weights
