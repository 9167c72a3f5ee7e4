"""trainer.kind -> the module that builds it, imported by itself: trl's trainers take seconds each."""

import importlib
from typing import Any

from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.train.methods.parts import Parts, arguments_of


def module_of(kind: str) -> str:
    """The module with ARGUMENTS, trl's class of arguments, and make, which builds the trainer."""
    return f"launcher.train.methods.{kind}"


def make_arguments(run: RunDir, plan: LaunchPlan) -> Any:
    """The trainer's arguments, in the class that its trainer takes.

    With DeepSpeed this must be made, and kept, before the model is loaded: ZeRO-3 then shards it while it loads.
    """
    return arguments_of(importlib.import_module(module_of(plan.trainer)).ARGUMENTS, run, plan)


def make_trainer(parts: Parts) -> Any:
    """trl's trainer with this project's checkpoints and data order."""
    return importlib.import_module(module_of(parts.plan.trainer)).make(parts)
