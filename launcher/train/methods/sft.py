"""Supervised fine-tuning: the next-token loss over trained tokens."""

from typing import Any

from trl import SFTConfig, SFTTrainer

from launcher.train.data.packing import Collator, check_packable
from launcher.train.data.tokens import shared_rows
from launcher.train.loss import PlainLoss
from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.rows import Sets
from launcher.train.resumable import Resumable
from launcher.train.upstream.transformers_model_facts import attention_of


def arguments() -> type:
    """trl's class of arguments."""
    return SFTConfig


class ResumableSFT(Resumable, PlainLoss, SFTTrainer):
    """trl's SFT trainer with this project's checkpoints, rows and loss."""


TRAINER = ResumableSFT
"""The trainer's class, for a loop that makes its steps itself (launcher/train/lanes)."""


def rows(parts: RowParts) -> Sets:
    """The rows of both sets."""

    def of(name: str, paths: Any) -> Any:
        return shared_rows(parts.shared, name, paths, parts.tokenizer, parts.config)

    return of("train", parts.training), of("eval", parts.evaluation) if parts.evaluation else None


def make(parts: Parts, trainer: type = ResumableSFT) -> Any:
    """The trainer with its tokenized data. `trainer`: a class derived from ResumableSFT, for a method with another loss."""
    tokenizer, config = parts.tokenizer, parts.config
    if config.trainer.packing:
        check_packable(parts.model)
    sets = rows(parts)
    text = parts.model.config.get_text_config()
    coefficient = getattr(text, "router_aux_loss_coef", None)
    parts.args.router_aux_loss_coef = 0.0  # trl's is computed of each micro-batch
    made = trainer(
        data_collator=Collator(
            tokenizer.pad_token_id,
            varlen=takes_lengths(parts.model),
            length=config.model.max_length if config.trainer.torch_compile else None,
            multiple=parts.plan.degrees.sequence,
        ),
        **parts.for_trl(*sets),
    )
    if coefficient is not None:
        text.router_aux_loss_coef = coefficient  # trl has changed what is exported
    made.share_sequences(parts.plan)
    made.read_routers(parts.plan, config.trainer.router_aux_loss_coef or 0.0)
    return made


def takes_lengths(model: Any) -> bool:
    """Whether the attention kernel of the model takes the lengths of documents, as flash attention does."""
    return "flash" in attention_of(model)
