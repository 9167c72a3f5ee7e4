"""Kahneman-Tversky optimization. Source: Ethayarajh et al. (arXiv 2402.01306)."""

from collections.abc import Sequence
from typing import Any

from trl import KTOConfig, KTOTrainer

from launcher.train.methods.parts import Parts
from launcher.train.methods.reference import load_reference
from launcher.train.methods.rows import labelled, rows_of, with_mismatched
from launcher.train.resumable import Resumable
from launcher.train.upstream.trl_reference_adapter import leave_out_copy
from launcher.train.upstream.trl_tokenized_rows import TokenizedRows


def arguments() -> type:
    """trl's class of arguments."""
    return KTOConfig


class ResumableKTO(Resumable, TokenizedRows, KTOTrainer):
    """trl's KTO trainer with this project's checkpoints and rows."""


def make(parts: Parts) -> Any:
    """The trainer, its reference and its data."""
    evaluation = parts.evaluation
    trainer = ResumableKTO(
        model=parts.model,
        ref_model=load_reference(parts),
        args=parts.args,
        train_dataset=_rows(parts, "train", parts.training),
        eval_dataset=_rows(parts, "eval", evaluation) if evaluation else None,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )
    leave_out_copy(trainer)
    return trainer


def _rows(parts: Parts, name: str, paths: str | Sequence[str]) -> Any:
    encode = labelled(parts.tokenizer, parts.config)
    if parts.args.loss_type == "kto":
        return rows_of(parts, name, paths, encode, with_mismatched)
    return rows_of(parts, name, paths, encode)
