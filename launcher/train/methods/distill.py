"""Distillation from a teacher, or from its stored output. Source: Hinton et al. (arXiv 1503.02531)."""

from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from trl import SFTConfig

from launcher.config import TrainerConfig
from launcher.data.mask import IGNORED
from launcher.data.stored_output import check_stored_output, read_stored_output
from launcher.errors import ConfigError
from launcher.plan import LaunchPlan
from launcher.train.data.rows import Rows
from launcher.train.data.tokens import tokenizer_digest
from launcher.train.divergence import Mix, distillation_loss
from launcher.train.kept_positions import KeptPositions, trained_positions
from launcher.train.methods import sft
from launcher.train.methods.parts import Parts
from launcher.train.methods.sft import rows
from launcher.train.methods.teacher import load_teacher
from launcher.train.predicted import Logits, Predicted, TopTokens
from launcher.train.sequence.peers import shift
from launcher.train.stored_teacher import StoredCollator, StoredRows, from_batch
from launcher.train.strategies.base import on_rank

__all__ = ["arguments", "make", "rows"]


def arguments() -> type:
    """trl's class of arguments."""
    return SFTConfig


class ResumableDistillation(sft.ResumableSFT):
    """The trainer of sft with the loss of distillation. `learn_from` must be called before `train`."""

    def learn_from(self: Any, teacher: "Teacher", mix: Mix) -> None:
        """Sets the teacher, and what the loss is made of."""
        self.teacher, self.mix = teacher, mix
        self.logged: dict[bool, torch.Tensor] = {}

    def compute_loss(
        self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The sum of the losses of this micro-batch's trained tokens, divided by `num_items_in_batch` (of the global batch).

        The teacher predicts first, while there are no activations of the student."""
        targets, numbers = shift(inputs["labels"]).flatten(), inputs.get("row_numbers")
        own = ("labels", "row_numbers")
        inputs = {name: value for name, value in inputs.items() if name not in own} | {"use_cache": False}
        where = trained_positions(targets)
        taught = self.teacher.predict(inputs, where)
        if numbers is None or not self.model.training:
            logits = self.logits_at(model, inputs, where)
        else:
            with self.routers.reading():
                logits = self.logits_at(model, inputs, where)
            self.routers.balance(numbers)
        total, sums = distillation_loss(logits, taught, targets[where], self.mix)
        self._note(sums, targets)
        if not self.model.training:
            self._add(total.detach(), targets)
        return self.mean_of(total, targets, num_items_in_batch)

    def log(self: Any, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Adds the two parts of the loss, means over the trained tokens of all ranks since the line before. Collective."""
        training = "loss" in logs
        sums = self.logged.pop(training, None)
        if sums is not None and (training or "eval_loss" in logs):
            if dist.is_initialized() and dist.get_world_size() > 1:
                dist.all_reduce(sums)
            apart, entropy, count = sums.tolist()
            prefix = "" if training else "eval_"
            logs[f"{prefix}divergence"] = apart / max(count, 1)
            logs[f"{prefix}cross_entropy"] = entropy / max(count, 1)
        super().log(logs, *arguments, **options)

    def _note(self: Any, sums: torch.Tensor, targets: torch.Tensor) -> None:
        count = (targets != IGNORED).sum().double()[None]
        known = self.logged.get(self.model.training)
        sums = torch.cat([sums, count])
        self.logged[self.model.training] = sums if known is None else known + sums


class Teacher(Protocol):
    """What predicts the tokens of a batch."""

    def predict(self, inputs: dict[str, Any], kept: torch.Tensor) -> Predicted:
        """The predictions at the kept positions of the flattened batch. It may take its own entries out of `inputs`."""
        ...


class LoadedTeacher:
    """A second model on this rank."""

    def __init__(self, model: Any, trainer: Any, plan: LaunchPlan) -> None:
        """`model`: as `load_teacher` returns it."""
        self._head = KeptPositions(model)
        self._model = on_rank(plan.strategy).prepare_frozen(model, trainer, plan)

    def predict(self, inputs: dict[str, Any], kept: torch.Tensor) -> Predicted:
        """The logits of a forward pass."""
        with torch.no_grad(), self._head.only(kept):
            return Logits(self._model(**inputs).logits[0])


class StoredTeacher:
    """The output that `data teach` has stored, which the collator has put into the batch."""

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary

    def predict(self, inputs: dict[str, Any], kept: torch.Tensor) -> Predicted:
        """The stored predictions."""
        return TopTokens(*from_batch(inputs), self._vocabulary)


def mix_of(trainer: TrainerConfig) -> Mix:
    """What the loss is made of."""
    return Mix(
        beta=trainer.beta or 0.0,
        temperature=1.0 if trainer.temperature is None else trainer.temperature,
        alpha=trainer.alpha or 0.0,
    )


def make(parts: Parts) -> Any:
    """The trainer, its teacher and its data."""
    trainer = sft.make(parts, ResumableDistillation)
    stored = parts.config.trainer.teacher_logits
    teacher = take_stored(trainer, stored, parts) if stored else None
    teacher = teacher or LoadedTeacher(load_teacher(parts), trainer, parts.plan)
    trainer.learn_from(teacher, mix_of(parts.config.trainer))
    return trainer


def take_stored(trainer: Any, folder: str, parts: Parts) -> StoredTeacher:
    """The stored output, after the trainer's collator was made to read it; ConfigError or DataError if it is not that of this
    run."""
    taught = read_stored_output(str(Path(parts.facts.work_dir, folder)))
    check_stored_output(parts.config, taught)
    if taught.tokenizer != tokenizer_digest(parts.tokenizer):
        raise ConfigError(
            f"trainer.teacher_logits={folder} was stored with another tokenizer or chat template than that of this run; run "
            "`python -m launcher data teach` again with the arguments of this run"
        )
    rows_in = parts.model.config.get_text_config().vocab_size
    if rows_in < taught.vocabulary:
        raise ConfigError(
            f"trainer.teacher_logits={folder} has a vocabulary of {taught.vocabulary:,} tokens, and the model's head only "
            f"{rows_in:,}; run `python -m launcher data teach` again with this model"
        )
    stored = StoredRows(str(Path(parts.facts.work_dir, folder)), taught)
    for dataset in (trainer.train_dataset, trainer.eval_dataset):
        if dataset is not None:
            stored.check(Rows(dataset))
    trainer.data_collator = StoredCollator(trainer.data_collator, stored)
    return StoredTeacher(taught.vocabulary)
