"""Odds ratio preference optimization, an experimental trainer of trl 1.16. Source: Hong et al. (arXiv 2403.07691)."""

import os
from typing import Any

from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.rows import Row, Sets, both, pairs
from launcher.train.resumable import Resumable
from launcher.train.upstream.transformers_trainer_hooks import seen_tokens, set_seen_tokens

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # docs/guide/methods.md has this warning instead
from trl.experimental.orpo import ORPOConfig, ORPOTrainer


def arguments() -> type:
    """trl's class of arguments."""
    return ORPOConfig


class ResumableORPO(Resumable, ORPOTrainer):
    """trl's ORPO trainer with this project's checkpoints, rows and token count."""

    def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, Any]:
        """No further columns, because the rows are token ids already."""
        return {}

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """trl's loss; the tokens of all ranks are added to the count for the log."""
        masks = inputs["chosen_attention_mask"].sum() + inputs["rejected_attention_mask"].sum()
        set_seen_tokens(self, seen_tokens(self) + int(self.accelerator.gather(masks).sum()))
        return super().compute_loss(model, inputs, *arguments, **options)

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Logs the token count as well."""
        if "loss" in logs:
            logs["num_tokens"] = seen_tokens(self)
        super().log(logs, *arguments, **options)


def make(parts: Parts) -> Any:
    """The trainer and its data, which is set after construction, because the constructor would iterate over it three times."""
    train, held_out = rows(parts)
    first = parts.for_trl(train.select([0]), held_out.select([0]) if held_out else None)
    trainer = ResumableORPO(**first)
    trainer.train_dataset, trainer.eval_dataset = train, held_out
    return trainer


def rows(parts: RowParts) -> Sets:
    """The rows of both sets, with the columns for trl's collator: ids, attention mask and labels of both answers."""
    length = parts.config.model.max_length

    def columns(row: Row) -> Row:
        prompt = row["prompt_ids"]
        made: dict[str, list[int]] = {
            "prompt_input_ids": prompt,
            "prompt_attention_mask": [1] * len(prompt),
        }
        for side in ("chosen", "rejected"):
            ids = [*prompt, *row[f"{side}_ids"]][:length]
            made[f"{side}_input_ids"], made[f"{side}_attention_mask"] = ids, [1] * len(ids)
            made[f"{side}_labels"] = [*[-100] * len(prompt), *ids[len(prompt) :]]
        return made

    one = pairs(parts.tokenizer, parts.config)
    return both(parts, lambda example, where: map(columns, one(example, where)))
