"""How the training state is distributed over the ranks: one module per strategy, which holds its spec as SPEC."""

from launcher.strategies.base import Strategy
from launcher.strategies.degrees import Degrees
from launcher.strategies.files import Files, StrategyInputs
from launcher.strategies.registry import AUTO, candidates, make_strategy, planned_strategy

__all__ = [
    "AUTO",
    "Degrees",
    "Files",
    "Strategy",
    "StrategyInputs",
    "candidates",
    "make_strategy",
    "planned_strategy",
]
