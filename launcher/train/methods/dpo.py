"""Direct preference optimization. Source: Rafailov et al. (arXiv 2305.18290)."""

from typing import Any

from trl import DPOConfig, DPOTrainer

from launcher.train.methods.parts import Parts
from launcher.train.methods.reference import leave_out_copy, load_reference
from launcher.train.methods.rows import pairs, rows_of
from launcher.train.resumable import Resumable


def arguments() -> type:
    """trl's class of arguments."""
    return DPOConfig


class ResumableDPO(Resumable, DPOTrainer):
    """trl's DPO trainer with this project's checkpoints and rows."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """As it is: the rows are token ids already."""
        return dataset


def make(parts: Parts) -> Any:
    """The trainer, its reference and its data."""
    encode, evaluation = pairs(parts.tokenizer, parts.config), parts.plan.facts.eval_path
    trainer = ResumableDPO(
        model=parts.model,
        ref_model=load_reference(parts),
        args=parts.args,
        train_dataset=rows_of(parts, "train", parts.training, encode),
        eval_dataset=rows_of(parts, "eval", evaluation, encode) if evaluation else None,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )
    leave_out_copy(trainer)
    return trainer
