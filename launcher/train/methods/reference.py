"""The reference model: the model before training, with which some losses compare the trained one."""

from typing import Any

from launcher.train.methods.parts import Parts
from launcher.train.model import load_model
from launcher.train.strategies.base import on_rank


def load_reference(parts: Parts) -> Any:
    """A frozen second model for a full fine-tune, sharded like the first; None with an adapter, which can be disabled instead.

    trl passes it to DeepSpeed unchanged. If no library shards it like the trained model, the strategy does.
    """
    if parts.plan.adapter is not None:
        return None
    model = load_model(
        parts.config.model, parts.plan, parts.plugins, parts.config.seed, hooks=("on_load",), together=True
    )
    model.requires_grad_(False)
    on_rank(parts.plan.strategy).shard_frozen(model, parts.plan)
    return model
