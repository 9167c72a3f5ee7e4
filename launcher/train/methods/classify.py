"""Text classification: cross-entropy over classes at the last token, or a binary loss for each class of several."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from launcher.data.kinds import Example
from launcher.data.mask import encode_whole
from launcher.errors import DataError
from launcher.plan.classes import Classes
from launcher.run.events.results import Classified
from launcher.train.class_scores import ClassScores, count_rows, score, total_loss
from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.rows import Encode, Row, Sets, both
from launcher.train.resumable import Resumable


@dataclass
class ClassifierArguments(TrainingArguments):
    """transformers' arguments with the longest sequence, which trl's classes of arguments have as well."""

    max_length: int | None = None


def arguments() -> type:
    """The class of arguments."""
    return ClassifierArguments


class ResumableClassifier(Resumable, Trainer):
    """transformers' Trainer with this project's checkpoints, rows, loss and metrics."""

    loss_is_scaled_for_ga = True

    def __init__(self, classes: Classes, **options: Any) -> None:
        super().__init__(compute_metrics=self._score, **options)
        self.classes = classes
        self.model_accepts_loss_kwargs = True  # the Trainer then counts the rows of a step
        self.label_names = ["labels"]
        self.scores: ClassScores | None = None

    def compute_loss(
        self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The sum of the losses of this micro-batch's rows, divided by `num_items_in_batch` (rows of the global batch)."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        outputs = model(**inputs, use_cache=False)
        total = total_loss(outputs.logits.float(), labels, self.classes)
        count = count_rows(labels) if num_items_in_batch is None else num_items_in_batch
        loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
        if num_items_in_batch is not None:
            # gradients are averaged over ranks, but the count is a sum over all ranks
            loss = loss * self.plan.strategy.averaged_over(self.plan.degrees)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self: Any, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, Any, Any]:
        """Loss, logits and labels of a batch."""
        inputs = {name: value.to(self.args.device) for name, value in inputs.items()}
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        return loss.detach(), outputs.logits.detach().float(), inputs["labels"]

    def get_eval_dataloader(self: Any, eval_dataset: Any = None) -> Any:
        """A loader with every row once over all ranks."""
        return self.every_row_once(eval_dataset)

    def evaluation_loop(self: Any, *arguments: Any, **options: Any) -> Any:
        """The evaluation, whose loss is the mean over all rows; the Trainer's is the mean over batches."""
        output = super().evaluation_loop(*arguments, **options)
        if self.scores is not None:
            output.metrics[f"{options.get('metric_key_prefix', 'eval')}_loss"] = self.scores.loss
            self._note_scores(self.scores)
        return output

    def _score(self, found: Any) -> dict[str, float]:
        logits, labels = (torch.from_numpy(one) for one in (found.predictions, found.label_ids))
        self.scores = score(logits, labels, self.classes)
        return self.scores.figures

    def _note_scores(self: Any, scores: ClassScores) -> None:
        if not self.recorder.is_main:
            return
        values = asdict(scores)
        del values["loss"]
        self.recorder.run.note(
            Classified(
                attempt=self.recorder.attempt,
                step=self.state.global_step,
                classes=self.classes.names,
                multi_label=self.classes.multi_label,
                **values,
            )
        )


def rows(parts: RowParts) -> Sets:
    """The rows of both sets."""
    return both(parts, classified(parts))


def classified(parts: RowParts) -> Encode:
    """Rows of token ids and of the numbers of their classes, cut at model.max_length."""
    config, tokenizer = parts.config, parts.tokenizer
    number = {name: at for at, name in enumerate(parts.facts.classes)}
    multi = config.trainer.multi_label

    def encode_one(example: Example, where: str) -> Iterator[Row]:
        ids = encode_whole(example, tokenizer, where)
        labels: list[str] = example["labels"]
        for label in labels:
            if label not in number:
                raise DataError(
                    f"{where}: label {label!r} is not one of the classes of this run ({', '.join(number)}); name it in "
                    "trainer.labels, or correct the row"
                )
        if not multi and len(labels) != 1:
            raise DataError(
                f"{where}: the row has {len(labels)} classes; set trainer.multi_label=true, or give each row one label"
            )
        kept = ids[: config.model.max_length]
        yield {
            "input_ids": kept,
            "labels": [int(name in labels) for name in number] if multi else [number[labels[0]]],
            "seq_lengths": [len(kept)],
            "trained": 1,  # the loss is read at the last token
            "cut": len(ids) > len(kept),
        }

    return encode_one


@dataclass(frozen=True)
class Padded:
    """A collator of such rows: right padding to the longest of the batch, or to `length` if the model is compiled."""

    pad: int
    several: bool
    """Whether a row can have several classes."""
    length: int | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask [rows, tokens], and labels: [rows], or [rows, classes] with several classes to a row."""
        width = self.length or max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        mask = torch.zeros((len(rows), width), dtype=torch.int64)
        for at, row in enumerate(rows):
            size = len(row["input_ids"])
            ids[at, :size] = torch.tensor(row["input_ids"])
            mask[at, :size] = 1
        labels = torch.tensor([row["labels"].tolist() for row in rows])
        if not self.several:
            labels = labels[:, 0]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def make(parts: Parts) -> Any:
    """The trainer and its data."""
    classes = parts.plan.classes
    assert classes is not None
    sets = rows(parts)
    if getattr(parts.model, "is_loaded_in_4bit", False) or getattr(parts.model, "is_loaded_in_8bit", False):
        _one_format(parts.model, getattr(torch, parts.plan.weights_dtype))
    return ResumableClassifier(
        classes,
        data_collator=Padded(
            parts.tokenizer.pad_token_id,
            classes.multi_label,
            parts.config.model.max_length if parts.config.trainer.torch_compile else None,
        ),
        **parts.for_trl(*sets),
    )


def _one_format(model: Any, dtype: torch.dtype) -> None:
    """Casts the adapter over quantised weights, and the head, to the format of the other weights, as trl does: FSDP2 shards
    only one format."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "lora_magnitude_vector" not in name:
            parameter.data = parameter.data.to(dtype)
