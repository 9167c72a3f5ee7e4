"""Kahneman-Tversky optimization. Source: Ethayarajh et al. (arXiv 2402.01306)."""

from typing import Any

from trl import KTOConfig, KTOTrainer

from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.reference import load_reference
from launcher.train.methods.rows import Sets, both, labelled, with_mismatched
from launcher.train.resumable import Resumable
from launcher.train.upstream.trl_reference_adapter import leave_out_copy
from launcher.train.upstream.trl_tokenized_rows import TokenizedRows


def arguments() -> type:
    """trl's class of arguments."""
    return KTOConfig


class ResumableKTO(Resumable, TokenizedRows, KTOTrainer):
    """trl's KTO trainer with this project's checkpoints and rows."""


def rows(parts: RowParts) -> Sets:
    """The rows of both sets; with the answers to other prompts for the KL term, which is in the default loss."""
    encode = labelled(parts.tokenizer, parts.config)
    if parts.config.trainer.loss_type in (None, "kto"):
        return both(parts, encode, with_mismatched)
    return both(parts, encode)


def make(parts: Parts) -> Any:
    """The trainer, its reference and its data."""
    sets = rows(parts)
    trainer = ResumableKTO(ref_model=load_reference(parts), **parts.for_trl(*sets))
    leave_out_copy(trainer)
    return trainer
