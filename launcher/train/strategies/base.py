"""A strategy's side on the rank. As it stands here it is plain data parallelism, through torch's DistributedDataParallel."""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from launcher.errors import ConfigError
from launcher.plan import LaunchPlan
from launcher.strategies import Strategy
from launcher.train.checkpoint.shards import Shard, clean, flat, zeros
from launcher.train.upstream.bitsandbytes_optimizer_state import make_state

NO_LIBRARY = "ddp"


class OnRank:
    """The set-up of a strategy on a rank, and how its training state is read and filled."""

    def before_ranks_meet(self, plan: LaunchPlan) -> None:
        """Prepares the process, before accelerate makes its state."""

    def after_ranks_met(self, plan: LaunchPlan) -> None:
        """Prepares what needs the other ranks, before the model is loaded."""

    def found(self, trainer: Any, plan: LaunchPlan) -> dict[str, Any]:
        """What the libraries came to, by the fields of the plan's strategy."""
        found = library(trainer)
        return {"engine": plan.strategy.engine if found == NO_LIBRARY else found, "zero_stage": 0}

    def shard_frozen(self, model: Any, plan: LaunchPlan) -> None:
        """Shards a frozen second model, in place, where the library does not."""

    def forward_model(self, trainer: Any, model: Any) -> Any:
        """What computes logits of the trained model: the model itself, or what wraps it."""
        return model

    def whole(self, parameter: Any) -> AbstractContextManager[torch.Tensor]:
        """The parameter unsharded, for a moment. Every rank must enter it."""
        return nullcontext(parameter.data)

    def shards(self, trainer: Any) -> Iterator[Shard]:
        """This rank's runs of every trained parameter and of its optimizer state."""
        state = bare_optimizer(trainer).state
        for name, parameter in trained_parameters(trainer):
            yield self.shard_of(clean(name), parameter, state[parameter])

    def shard_of(self, name: str, parameter: Any, state: dict[str, Any]) -> Shard:
        """This rank's run of one parameter."""
        return Shard(
            name=name,
            shape=list(parameter.shape),
            start=0,
            weight=flat(parameter.data),
            state=state,
            whole=True,
        )

    def prepare_state(self, trainer: Any) -> None:
        """Gives the optimizer its state before the first step, zeroed, so that a restore can fill it."""
        optimizer = bare_optimizer(trainer)
        if make_state(optimizer):
            return
        state = optimizer.state
        for _, parameter in trained_parameters(trainer):
            zeros(state[parameter], parameter, trainer.optimizer)

    def publish(self, trainer: Any) -> None:
        """Carries restored weights to where the forward pass reads them."""

    def go_on_from(self, trainer: Any, step: int, samples: int) -> None:
        """Sets the library's own counters after a restore."""


def on_rank(strategy: Strategy) -> OnRank:
    """The rank's side of a strategy; ConfigError for a module that holds none."""
    found = getattr(importlib.import_module(strategy.on_rank), "ON_RANK", None)
    if not isinstance(found, OnRank):
        raise ConfigError(
            f"strategy.engine={strategy.engine}: {strategy.on_rank} holds no OnRank named ON_RANK; add one"
        )
    return found


def library(trainer: Any) -> str:
    """The library by which accelerate shards the training state; NO_LIBRARY for plain data parallelism."""
    if trainer.is_deepspeed_enabled:
        return "deepspeed"
    if not trainer.is_fsdp_enabled:
        return NO_LIBRARY
    version = trainer.accelerator.state.fsdp_plugin.fsdp_version
    return f"fsdp{version}"


def trained_parameters(trainer: Any) -> Iterator[tuple[str, Any]]:
    """Name and parameter of all that is trained, in the model's order."""
    return (
        (name, parameter)
        for name, parameter in trainer.model_wrapped.named_parameters()
        if parameter.requires_grad
    )


def bare_optimizer(trainer: Any) -> Any:
    """The optimizer without accelerate's wrappers."""
    optimizer = trainer.optimizer
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


ON_RANK = WHOLE = OnRank()
"""Plain data parallelism, which is also what a single process has."""
