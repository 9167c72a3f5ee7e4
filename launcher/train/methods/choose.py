"""trainer.kind -> the module that builds it on the ranks, imported by itself: trl's trainers take seconds each."""

import importlib
from types import ModuleType
from typing import Any

from launcher.errors import ConfigError
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.train.methods.parts import Parts, arguments_of


def module_of(kind: str) -> ModuleType:
    """The method's module with `arguments` and `make`; ConfigError where it is not on this node, or lacks one of them."""
    name = find_method(kind).module
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # something that the module itself imports
        raise ConfigError(
            f"trainer.kind={kind}: its module {name} is not on this node; install its package in the ranks' Python"
        ) from None
    for function in ("arguments", "make"):
        if not callable(getattr(module, function, None)):
            raise ConfigError(f"trainer.kind={kind}: its module {name} has no function {function}; add it")
    return module


def make_arguments(run: RunDir, plan: LaunchPlan) -> Any:
    """The trainer's arguments, in the class that its trainer takes.

    With DeepSpeed this must be made, and kept, before the model is loaded: ZeRO-3 then shards it while it loads.
    """
    return arguments_of(module_of(plan.trainer).arguments(), run, plan)


def make_trainer(parts: Parts) -> Any:
    """trl's trainer with this project's checkpoints and data order."""
    return module_of(parts.plan.trainer).make(parts)
