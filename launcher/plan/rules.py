"""Combinations that are known not to work: one numbered list, applied to every plan. A number is never given twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from launcher.errors import PlanError
from launcher.plan.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What the rules look at of a run."""

    trainer: str = "sft"
    loss_type: str | None = None
    strategy: Strategy
    device: str = "cuda"
    precision: str = "bf16"
    ranks: int = 1
    micro_batch_size: int = 1
    generations: int = 1
    """Answers that are drawn for each prompt."""
    evaluates: bool = False
    adapter: bool = False
    four_bit: bool = False
    dropout: bool = False
    """Whether the adapter drops anything."""
    disable_dropout: bool | None = None
    attention: str | None = None
    """model.attn_implementation."""
    rank_starter: str = "launcher"
    spares: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One combination that does not work."""

    number: int
    what: str
    """The combination, by the keys that make it."""
    reason: str
    """What happens, with the version in which it was seen."""
    way_out: str
    broken: Callable[[Combination], bool]

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values."""
        return {name: getattr(self, name) for name in ("number", "what", "reason", "way_out")}


RULES: tuple[Rule, ...] = (
    Rule(
        number=1,
        what="plugins.qlora with strategy.offload_param=true under DeepSpeed",
        reason="4-bit weights cannot be offloaded",
        way_out="use strategy=fsdp2_offload, or strategy=zero3",
        broken=lambda run: run.four_bit and run.strategy.engine == "deepspeed" and run.strategy.offload_param,
    ),
    Rule(
        number=2,
        what="trainer.precision=bf16 under DeepSpeed on a CPU",
        reason="transformers refuses it there",
        way_out="use trainer.precision=fp32, or strategy=fsdp2",
        broken=lambda run: (
            run.precision == "bf16" and run.device == "cpu" and run.strategy.engine == "deepspeed"
        ),
    ),
    Rule(
        number=3,
        what="strategy=fsdp2_offload on a CPU",
        reason="it offloads to pinned memory, which torch has on GPUs alone",
        way_out="use strategy=fsdp2",
        broken=lambda run: (
            run.device == "cpu" and run.strategy.engine == "fsdp2" and run.strategy.offload_param
        ),
    ),
    Rule(
        number=4,
        what="trainer=kto with batch.micro_batch_size=1",
        reason="a term of its loss is a mean over the other answers of the batch, so trl 1.16 refuses a batch of one",
        way_out="use batch.micro_batch_size=2 or more, or trainer.loss_type=apo_zero_unpaired",
        broken=lambda run: (
            run.trainer == "kto" and run.loss_type in (None, "kto") and run.micro_batch_size == 1
        ),
    ),
)
"""Every rule by its number."""


def broken_rules(run: Combination) -> Iterator[Rule]:
    """The rules that a run breaks, in the order of their numbers."""
    return (rule for rule in RULES if rule.broken(run))


def check_rules(run: Combination) -> None:
    """PlanError with the number of the first rule that a run breaks."""
    for rule in broken_rules(run):
        raise PlanError(
            f"{rule.what} does not work: {rule.reason}; {rule.way_out} (rule {rule.number} of python -m launcher rules)"
        )
