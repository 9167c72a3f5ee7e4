"""Supervised fine-tuning: the loss of the next token, over what is trained on."""

from typing import Any

from trl import SFTConfig, SFTTrainer

from launcher.train.data import tokenized
from launcher.train.objectives.parts import Parts
from launcher.train.resumable import Resumable

ARGUMENTS = SFTConfig


class ResumableSFT(Resumable, SFTTrainer):
    """trl's SFT trainer with this project's checkpoints."""


def make(parts: Parts) -> Any:
    """The trainer, with its data tokenized."""
    facts = parts.plan.facts
    return ResumableSFT(
        model=parts.model,
        args=parts.args,
        train_dataset=tokenized(parts.training, parts.tokenizer, parts.config),
        eval_dataset=tokenized(facts.eval_path, parts.tokenizer, parts.config) if facts.eval_path else None,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )
