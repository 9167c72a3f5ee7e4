"""The model as it was before training, which some losses hold the trained one against."""

from typing import Any

from launcher.train.methods.parts import Parts
from launcher.train.model import load_model
from launcher.train.resumable import Resumable
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


def leave_out_copy(trainer: Resumable) -> None:
    """Removes the copy of the adapter that trl keeps as the reference, where the adapter begins as nothing: the model without
    it is then the same, and no memory is taken."""
    model: Any = trainer.model  # pyright: ignore
    if "ref" not in getattr(model, "peft_config", {}):
        return
    second = [parameter for name, parameter in model.named_parameters() if "lora_B.ref." in name]
    if second and not any(bool(parameter.any()) for parameter in second):
        model.delete_adapter("ref")


def forget_copy(trainer: Resumable) -> None:
    """Removes it in any case: what is exported is the trained adapter alone."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)  # pyright: ignore
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")
