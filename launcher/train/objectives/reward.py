"""A reward model after Bradley and Terry. Source: Ouyang et al. (arXiv 2203.02155), section 3.5."""

from typing import Any

from trl import RewardConfig, RewardTrainer

from launcher.train.objectives.parts import Parts
from launcher.train.objectives.rows import rows_of, whole_pairs
from launcher.train.resumable import Resumable

ARGUMENTS = RewardConfig


class ResumableReward(Resumable, RewardTrainer):
    """trl's reward trainer with this project's checkpoints and rows."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """As it is: the rows are token ids already, and none is too long."""
        return dataset


def make(parts: Parts) -> Any:
    """The trainer and its data."""
    encode, evaluation = whole_pairs(parts.tokenizer, parts.config), parts.plan.facts.eval_path
    return ResumableReward(
        model=parts.model,
        args=parts.args,
        train_dataset=rows_of(parts.training, parts.config, encode),
        eval_dataset=rows_of(evaluation, parts.config, encode) if evaluation else None,
        processing_class=parts.tokenizer,
        callbacks=parts.callbacks,
    )
