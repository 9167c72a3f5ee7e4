"""The module that builds the trainer for trainer.kind. Only this one is imported, because each trl trainer takes seconds."""

import importlib
from types import ModuleType
from typing import Any

from launcher.errors import ConfigError
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.train.methods.parts import Parts, RowParts, arguments_of


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
