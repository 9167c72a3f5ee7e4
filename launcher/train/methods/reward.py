"""A reward model after Bradley and Terry. Source: Ouyang et al. (arXiv 2203.02155), section 3.5."""

from typing import Any

import torch
from trl import RewardConfig, RewardTrainer

from launcher.train.methods.parts import Parts
from launcher.train.methods.rows import rows_of, whole_pairs
from launcher.train.resumable import Resumable


def arguments() -> type:
    """trl's class of arguments."""
    return RewardConfig


class ResumableReward(Resumable, RewardTrainer):
    """trl's reward trainer with this project's checkpoints and rows."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """As it is: the rows are token ids already, and none is too long."""
        return dataset


def make(parts: Parts) -> Any:
    """The trainer and its data."""
    encode, evaluation = whole_pairs(parts.tokenizer, parts.config), parts.plan.facts.eval_path
    trainer = ResumableReward(
        model=parts.model,
        args=parts.args,
        train_dataset=rows_of(parts, "train", parts.training, encode),
        eval_dataset=rows_of(parts, "eval", evaluation, encode) if evaluation else None,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )
    _restore_head(trainer.model, getattr(torch, parts.plan.weights_dtype))
    return trainer


def _restore_head(model: Any, dtype: torch.dtype) -> None:
    """Puts the head back into the format of what it reads: trl 1.16 casts all that is trained over 4-bit weights to bf16, and
    unlike an adapter the head does not cast its input ("expected m1 and m2 to have the same dtype")."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "modules_to_save" in name:
            parameter.data = parameter.data.to(dtype)
