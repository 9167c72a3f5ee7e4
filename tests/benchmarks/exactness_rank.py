"""A plugin that keeps what a run has changed of its trained weights, as update.pt in the run dir."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.plugins.base import Plugin


@dataclass(frozen=True, kw_only=True)
class KeepUpdate(Plugin):
    """Gathers the trained weights before the first step and after the last."""

    def on_trainer(self, trainer: Any) -> Any:
        import torch
        from transformers import TrainerCallback

        from launcher.train.checkpoint.shards import clean
        from launcher.train.strategies.base import on_rank, trained_parameters

        before: dict[str, torch.Tensor] = {}

        def gather() -> dict[str, torch.Tensor]:
            strategy, found = on_rank(trainer.plan.strategy), {}
            strategy.settle(trainer)
            for name, parameter in trained_parameters(trainer):
                with strategy.whole(parameter) as whole:
                    found[clean(name)] = whole.detach().double().clone()
            return found

        class Callback(TrainerCallback):
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                before.update(gather())

            def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                update = {name: after - before[name] for name, after in gather().items()}
                if trainer.args.process_index == 0:
                    torch.save(update, Path(args.output_dir).parent / "update.pt")

        trainer.add_callback(Callback())
        return trainer
