"""The part of a strategy on the rank. The base class is plain data parallelism, through torch's DistributedDataParallel."""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from launcher.errors import ConfigError
from launcher.plan import LaunchPlan
from launcher.strategies import Strategy
from launcher.train.checkpoint.shards import Shard, clean, flat, zeros
from launcher.train.muon import Muon
from launcher.train.upstream.bitsandbytes_optimizer_state import make_state

NO_LIBRARY = "ddp"


class OnRank:
    """The set-up of a strategy on a rank, and access to its training state for checkpoints."""

    def arguments(self, plan: LaunchPlan) -> dict[str, Any]:
        """Arguments of the trainer that are objects, which plan.json cannot hold."""
        return {}

    def before_ranks_meet(self, plan: LaunchPlan) -> None:
        """Prepares the process before accelerate creates its state."""

    def after_ranks_met(self, plan: LaunchPlan) -> None:
        """Prepares what needs the other ranks before the model is loaded."""

    def loading(self, plan: LaunchPlan) -> AbstractContextManager[None]:
        """The context in which the model is loaded and its plugins change it."""
        return nullcontext()

    def loaded(self, model: Any, plan: LaunchPlan) -> None:
        """Completes a model that only some ranks have loaded. Collective."""

    def found(self, trainer: Any, plan: LaunchPlan) -> dict[str, Any]:
        """The choices of the libraries, by the names of the fields of the plan's strategy."""
        found = library(trainer)
        return {"engine": plan.strategy.engine if found == NO_LIBRARY else found, "zero_stage": 0}

    def found_degrees(self, trainer: Any) -> dict[str, int]:
        """The degrees that the libraries have been given, by the names of the plan's."""
        return {}

    def shard_frozen(self, model: Any, plan: LaunchPlan) -> None:
        """Shards a frozen second model in place, if the library does not."""

    def prepare_frozen(self, model: Any, trainer: Any, plan: LaunchPlan) -> Any:
        """The frozen second model after `shard_frozen`, ready for forward passes on this rank's device; for trainers that do
        not give it to their library themselves."""
        return model.to(trainer.args.device)

    def forward_model(self, trainer: Any, model: Any) -> Any:
        """The object whose call computes the logits of the trained model: the model itself, or its wrapper."""
        return model

    def settle(self, trainer: Any) -> None:
        """Completes what the last step has started, before weights are gathered outside of a step. Collective."""

    def whole(self, parameter: Any) -> AbstractContextManager[torch.Tensor]:
        """The unsharded parameter, within the context. Collective: every rank must enter it."""
        return nullcontext(parameter.data)

    def shards(self, trainer: Any) -> Iterator[Shard]:
        """This rank's ranges of every trained parameter and of its optimizer state."""
        state = bare_optimizer(trainer).state
        for name, parameter in trained_parameters(trainer):
            yield self.shard_of(clean(name), parameter, state[parameter])

    def shard_of(self, name: str, parameter: Any, state: dict[str, Any]) -> Shard:
        """This rank's range of one parameter."""
        return Shard(
            name=name,
            shape=list(parameter.shape),
            start=0,
            weight=flat(parameter.data),
            state=state,
            whole=True,
        )

    def prepare_state(self, trainer: Any) -> None:
        """Creates zeroed optimizer state before the first step, so that a restore can fill it."""
        optimizer = bare_optimizer(trainer)
        if make_state(optimizer):
            return
        if isinstance(optimizer, Muon):
            optimizer.make_state()
            return
        state = optimizer.state
        for _, parameter in trained_parameters(trainer):
            zeros(state[parameter], parameter, trainer.optimizer)

    def publish(self, trainer: Any) -> None:
        """Copies restored weights to the tensors that the forward pass reads."""

    def go_on_from(self, trainer: Any, step: int, samples: int) -> None:
        """Sets the library's own counters after a restore."""


def on_rank(strategy: Strategy) -> OnRank:
    """The rank's part of a strategy; ConfigError for a module without one."""
    found = getattr(importlib.import_module(strategy.on_rank), "ON_RANK", None)
    if not isinstance(found, OnRank):
        raise ConfigError(
            f"strategy.engine={strategy.engine}: {strategy.on_rank} holds no OnRank named ON_RANK; add one"
        )
    return found


def library(trainer: Any) -> str:
    """The library with which accelerate shards the training state; NO_LIBRARY for plain data parallelism."""
    if trainer.is_deepspeed_enabled:
        return "deepspeed"
    if not trainer.is_fsdp_enabled:
        return NO_LIBRARY
    version = trainer.accelerator.state.fsdp_plugin.fsdp_version
    return f"fsdp{version}"


def trained_parameters(trainer: Any) -> Iterator[tuple[str, Any]]:
    """Name and parameter of all trained parameters, in the order of the model."""
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
"""Plain data parallelism, which a single process uses too."""
