"""A reward model after Bradley and Terry. Source: Ouyang et al. (arXiv 2203.02155), section 3.5."""

from typing import Any

import torch
from trl import RewardConfig, RewardTrainer

from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.rows import Sets, both, whole_pairs
from launcher.train.resumable import Resumable
from launcher.train.upstream.trl_reward_head_dtype import restore_head
from launcher.train.upstream.trl_tokenized_rows import TokenizedRows


def arguments() -> type:
    """trl's class of arguments."""
    return RewardConfig


class ResumableReward(Resumable, TokenizedRows, RewardTrainer):
    """trl's reward trainer with this project's checkpoints and rows."""


def rows(parts: RowParts) -> Sets:
    """The rows of both sets."""
    return both(parts, whole_pairs(parts.tokenizer, parts.config))


def make(parts: Parts) -> Any:
    """The trainer and its data."""
    trainer = ResumableReward(**parts.for_trl(*rows(parts)))
    restore_head(trainer.model, getattr(torch, parts.plan.weights_dtype))
    return trainer
