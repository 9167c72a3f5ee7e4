"""Kahneman-Tversky optimization. Source: Ethayarajh et al. (arXiv 2402.01306)."""

from collections.abc import Sequence
from typing import Any

from trl import KTOConfig, KTOTrainer

from launcher.train.methods.parts import Parts
from launcher.train.methods.reference import leave_out_copy, load_reference
from launcher.train.methods.rows import labelled, rows_of, with_mismatched
from launcher.train.resumable import Resumable


def arguments() -> type:
    """trl's class of arguments."""
    return KTOConfig


class ResumableKTO(Resumable, KTOTrainer):
    """trl's KTO trainer with this project's checkpoints and rows."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """As it is: the rows are token ids already, and bring their answers to other prompts."""
        return dataset


def make(parts: Parts) -> Any:
    """The trainer, its reference and its data."""
    evaluation = parts.plan.facts.eval_path
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
