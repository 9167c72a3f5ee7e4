"""Distillation from a teacher in the same job. Source: Hinton et al. (arXiv 1503.02531)."""

from typing import Any

import torch
import torch.distributed as dist
from trl import SFTConfig

from launcher.config import TrainerConfig
from launcher.data.mask import IGNORED
from launcher.plan import LaunchPlan
from launcher.train.divergence import Mix, distillation_loss
from launcher.train.kept_positions import KeptPositions, trained_positions
from launcher.train.methods import sft
from launcher.train.methods.parts import Parts
from launcher.train.methods.sft import rows
from launcher.train.methods.teacher import load_teacher
from launcher.train.strategies.base import on_rank

__all__ = ["arguments", "make", "rows"]


def arguments() -> type:
    """trl's class of arguments."""
    return SFTConfig


class ResumableDistillation(sft.ResumableSFT):
    """The trainer of sft with the loss of distillation. `learn_from` must be called before `train`."""

    def learn_from(self: Any, teacher: Any, mix: Mix, plan: LaunchPlan) -> None:
        """Sets the teacher, as `load_teacher` returns it."""
        self.mix = mix
        self.teacher_head = KeptPositions(teacher)
        self.teacher = on_rank(plan.strategy).prepare_frozen(teacher, self, plan)
        self.logged: dict[bool, torch.Tensor] = {}

    def compute_loss(
        self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The sum of the losses of this micro-batch's trained tokens, divided by `num_items_in_batch` (of the global batch).

        The teacher predicts first, while there are no activations of the student."""
        targets = inputs["labels"][:, 1:].flatten()
        inputs = {name: value for name, value in inputs.items() if name != "labels"} | {"use_cache": False}
        where, kept = trained_positions(targets, inputs["input_ids"].shape[1])
        with torch.no_grad(), self.teacher_head.only(kept):
            taught = self.teacher(**inputs).logits[0]
        logits = self.logits_at(model, inputs, kept)
        total, sums = distillation_loss(logits, taught, targets[where], self.mix)
        self._note(sums, targets)
        if not self.model.training:
            self._add(total.detach(), targets)
        return self.mean_of(total, targets, num_items_in_batch)

    def log(self: Any, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Adds the two parts of the loss, means over the trained tokens of all ranks since the line before. Collective."""
        training = "loss" in logs
        sums = self.logged.pop(training, None)
        if sums is not None and (training or "eval_loss" in logs):
            if dist.is_initialized() and dist.get_world_size() > 1:
                dist.all_reduce(sums)
            apart, entropy, count = sums.tolist()
            prefix = "" if training else "eval_"
            logs[f"{prefix}divergence"] = apart / max(count, 1)
            logs[f"{prefix}cross_entropy"] = entropy / max(count, 1)
        super().log(logs, *arguments, **options)

    def _note(self: Any, sums: torch.Tensor, targets: torch.Tensor) -> None:
        count = (targets != IGNORED).sum().double()[None]
        known = self.logged.get(self.model.training)
        sums = torch.cat([sums, count])
        self.logged[self.model.training] = sums if known is None else known + sums


def mix_of(trainer: TrainerConfig) -> Mix:
    """What the loss is made of."""
    return Mix(
        beta=trainer.beta or 0.0,
        temperature=1.0 if trainer.temperature is None else trainer.temperature,
        alpha=trainer.alpha or 0.0,
    )


def make(parts: Parts) -> Any:
    """The trainer, its teacher and its data."""
    text = parts.model.config.get_text_config()
    if hasattr(text, "router_aux_loss_coef"):
        text.router_aux_loss_coef = 0.0  # trl would add the router's loss to another loss than this one
    trainer = sft.make(parts, ResumableDistillation)
    trainer.learn_from(load_teacher(parts), mix_of(parts.config.trainer), parts.plan)
    return trainer
