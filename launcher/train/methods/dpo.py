"""Direct preference optimization. Source: Rafailov et al. (arXiv 2305.18290)."""

from typing import Any

from trl import DPOConfig, DPOTrainer

from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.reference import load_reference
from launcher.train.methods.rows import Sets, both, pairs
from launcher.train.resumable import Resumable
from launcher.train.upstream.trl_reference_adapter import leave_out_copy
from launcher.train.upstream.trl_tokenized_rows import TokenizedRows


def arguments() -> type:
    """trl's class of arguments."""
    return DPOConfig


class ResumableDPO(Resumable, TokenizedRows, DPOTrainer):
    """trl's DPO trainer with this project's checkpoints and rows."""


def rows(parts: RowParts) -> Sets:
    """The rows of both sets."""
    return both(parts, pairs(parts.tokenizer, parts.config))


def make(parts: Parts) -> Any:
    """The trainer, its reference and its data."""
    sets = rows(parts)
    trainer = ResumableDPO(ref_model=load_reference(parts), **parts.for_trl(*sets))
    leave_out_copy(trainer)
    return trainer
