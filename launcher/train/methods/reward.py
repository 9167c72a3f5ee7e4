"""A reward model after Bradley and Terry. Source: Ouyang et al. (arXiv 2203.02155), section 3.5."""

from typing import Any

import torch
from trl import RewardConfig, RewardTrainer

from launcher.train.methods.parts import Parts
from launcher.train.methods.rows import rows_of, whole_pairs
from launcher.train.resumable import Resumable
from launcher.train.upstream.trl_reward_head_dtype import restore_head
from launcher.train.upstream.trl_tokenized_rows import TokenizedRows


def arguments() -> type:
    """trl's class of arguments."""
    return RewardConfig


class ResumableReward(Resumable, TokenizedRows, RewardTrainer):
    """trl's reward trainer with this project's checkpoints and rows."""


def make(parts: Parts) -> Any:
    """The trainer and its data."""
    encode, evaluation = whole_pairs(parts.tokenizer, parts.config), parts.evaluation
    trainer = ResumableReward(
        model=parts.model,
        args=parts.args,
        train_dataset=rows_of(parts, "train", parts.training, encode),
        eval_dataset=rows_of(parts, "eval", evaluation, encode) if evaluation else None,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )
    restore_head(trainer.model, getattr(torch, parts.plan.weights_dtype))
    return trainer
