"""The parts from which a trainer is built, and the arguments that all trl trainers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launcher.config import Config, has_evaluation
from launcher.plan import Facts, LaunchPlan
from launcher.plugins.base import Plugin
from launcher.run import RunDir
from launcher.train.data.cache import RowStore


@dataclass(frozen=True, kw_only=True)
class RowParts:
    """Everything that the rows depend on."""

    config: Config
    facts: Facts
    tokenizer: Any
    shared: RowStore
    """Where rank 0 writes the tokens that every rank reads; only the cache if there is no run yet."""

    @property
    def training(self) -> str | Sequence[str]:
        """The training file, or those of data.sources."""
        return self.facts.data_sources or self.facts.data_path

    @property
    def evaluation(self) -> str | Sequence[str] | None:
        """The evaluation file; the training files if data.eval_fraction holds rows of them out; None without an evaluation."""
        return self.facts.eval_path or (self.training if has_evaluation(self.config.data) else None)


@dataclass(frozen=True, kw_only=True)
class Parts(RowParts):
    """Everything that is created before the trainer."""

    run: RunDir
    plan: LaunchPlan
    plugins: Sequence[Plugin]
    args: Any
    model: Any
    callbacks: list[Any]


def arguments_of(kind: type, run: RunDir, plan: LaunchPlan) -> Any:
    """trl's arguments of that class: those of the plan, with paths in the run dir."""
    arguments: dict[str, Any] = dict(plan.trainer_args)
    if plan.deepspeed is not None:
        arguments["deepspeed"] = str(run.path / "deepspeed.json")
    return kind(output_dir=str(run.checkpoints), **arguments)
