"""The parts from which a trainer is built, the arguments that all trl trainers share, and the module that builds the trainer.

Only the module of trainer.kind is imported, because each trl trainer takes seconds.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from launcher.config import Config, has_evaluation
from launcher.errors import ConfigError
from launcher.methods.registry import find_method
from launcher.plan import Facts, LaunchPlan
from launcher.plan.names import MUON
from launcher.plugins.base import Plugin
from launcher.run import RunDir
from launcher.train.data.cache import RowStore
from launcher.train.heartbeat import Heartbeat
from launcher.train.strategies.base import on_rank


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
    heartbeat: Heartbeat | None = None
    """This rank's connection to its agent."""

    def for_trl(self, train: Any, held_out: Any) -> dict[str, Any]:
        """The arguments that the constructor of every trainer of trl takes, with the rows of both sets."""
        return {
            "model": self.model,
            "args": self.args,
            "train_dataset": train,
            "eval_dataset": held_out,
            "processing_class": self.tokenizer,
            "callbacks": self.callbacks,
        }


def arguments_of(kind: type, run: RunDir, plan: LaunchPlan) -> Any:
    """trl's arguments of that class: those of the plan, with paths in the run dir."""
    arguments: dict[str, Any] = {**plan.trainer_args, **on_rank(plan.strategy).arguments(plan)}
    if arguments.get("optim") == MUON:  # transformers 5.23 does not know it; Resumable makes it
        arguments["optim"] = "adamw_torch"
    if plan.deepspeed is not None:
        arguments["deepspeed"] = str(run.path / "deepspeed.json")
    return kind(output_dir=str(run.checkpoints), **arguments)


def module_of(kind: str) -> ModuleType:
    """The method's module with `arguments` and `make`; ConfigError if it is not on this node, or lacks one of them."""
    name = find_method(kind).module
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module itself imports something that is missing
        raise ConfigError(
            f"trainer.kind={kind}: its module {name} is not on this node; install its package in the ranks' Python"
        ) from None
    for function in ("arguments", "make"):
        if not callable(getattr(module, function, None)):
            raise ConfigError(f"trainer.kind={kind}: its module {name} has no function {function}; add it")
    return module


def make_arguments(run: RunDir, plan: LaunchPlan) -> Any:
    """The trainer's arguments, in the class that the trainer needs.

    With DeepSpeed they must be created, and kept, before the model is loaded, so that ZeRO-3 shards it during loading.
    """
    return arguments_of(module_of(plan.trainer).arguments(), run, plan)


def make_rows(parts: RowParts) -> None:
    """Finds or makes the rows of both sets, without a trainer; ConfigError if the method makes them only in its trainer."""
    kind = parts.config.trainer.kind
    rows = getattr(module_of(kind), "rows", None)
    if not callable(rows):
        raise ConfigError(
            f"trainer.kind={kind}: its module {find_method(kind).module} has no function rows, so only its "
            "trainer can make the tokens; add the function, or launch the run"
        )
    rows(parts)


def make_trainer(parts: Parts) -> Any:
    """trl's trainer with this project's checkpoints and data order."""
    return module_of(parts.plan.trainer).make(parts)
