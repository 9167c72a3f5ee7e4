"""The model as it was before training, which some losses hold the trained one against."""

from typing import Any

from launcher.train.methods.parts import Parts
from launcher.train.model import load_model
from launcher.train.strategies.base import on_rank


def load_reference(parts: Parts) -> Any:
    """A frozen second model for a full fine-tune, sharded as the first is; None where an adapter can be left out instead.

    trl hands it to DeepSpeed as it is; where no library shards it as the trained model is, the strategy does.
    """
    if parts.plan.adapter is not None:
        return None
    model = load_model(parts.config.model, parts.plan, parts.plugins, parts.config.seed, hooks=("on_load",))
    model.requires_grad_(False)
    on_rank(parts.plan.strategy).shard_frozen(model, parts.plan)
    return model
