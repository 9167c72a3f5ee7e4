"""A plugin that tells the lifetimes when a step begins, and ends the run after its last step, before it is exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from launcher.plugins.base import Plugin


class Enough(Exception):
    """The run has trained its last step."""


def reward(completions: list[Any], **row: Any) -> list[float]:
    """A reward of grpo's answers, of whose tokens nothing is known."""
    return [float(number) for number in range(len(completions))]


class Watched:
    """The lifetimes of this process."""

    lifetimes: Any = None


@dataclass(frozen=True, kw_only=True)
class Watch(Plugin):
    """Marks forward and backward passes as `pass` and the optimizer's work as `step`."""

    def on_trainer(self, trainer: Any) -> Any:
        """The trainer with marks around its passes."""
        from transformers import TrainerCallback

        watched, step = Watched.lifetimes, trainer.training_step

        def training_step(*arguments: Any, **options: Any) -> Any:
            watched.begin("pass", afresh=watched.phase == "load")
            loss = step(*arguments, **options)
            watched.begin("step")
            return loss

        class Ends(TrainerCallback):
            def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                raise Enough

        trainer.training_step = training_step
        trainer.add_callback(Ends())
        return trainer
