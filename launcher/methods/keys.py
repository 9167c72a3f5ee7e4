"""Keys of the trainer group that several methods share, and what several methods refuse."""

from typing import Any

from launcher.config import Config
from launcher.errors import PlanError
from launcher.methods.base import Key


def at_least_0(value: Any) -> bool:
    """Whether it is a finite number of at least 0."""
    return 0 <= value < float("inf")


def above_0(value: Any) -> bool:
    """Whether it is a finite number above 0."""
    return 0 < value < float("inf")


PACKING = Key(name="packing", passed=False)
ASSISTANT_ONLY_LOSS = Key(name="assistant_only_loss", passed=False)
SAMPLE_PROMPT = Key(name="sample_prompt", passed=False)
ROUTER_AUX_LOSS_COEF = Key(
    name="router_aux_loss_coef", passed=False, holds=at_least_0, rule="a number of at least 0"
)
BETA = Key(name="beta", holds=at_least_0, rule="a number of at least 0")
LOSS_TYPE = Key(name="loss_type")
DISABLE_DROPOUT = Key(name="disable_dropout")
TRL_FIELDS: dict[str, tuple[type, ...]] = {
    "router_aux_loss_coef": (float, int),
    "pad_to_multiple_of": (int, str),
}
"""Fields of the arguments of several of trl's trainers that trainer.args passes on. Source: trl 1.16."""


def refuse_zero_beta(config: Config) -> None:
    """PlanError for trainer.beta=0 with a method whose loss then has no gradient."""
    if config.trainer.beta == 0:
        raise PlanError(
            f"trainer.beta=0 gives {config.trainer.kind} no gradient; use a number above 0, such as 0.1"
        )
