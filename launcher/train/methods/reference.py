"""The model as it was before training, which some losses hold the trained one against."""

from typing import Any

import torch

from launcher.train.methods.parts import Parts
from launcher.train.model import load_model
from launcher.train.resumable import Resumable


def load_reference(parts: Parts) -> Any:
    """A frozen second model for a full fine-tune, sharded as the first is; None where an adapter can be left out instead.

    trl hands it to DeepSpeed as it is. Under FSDP2 it would be one unit, which every rank gathers whole in each forward
    pass: its blocks are sharded here, one by one.
    """
    if parts.plan.adapter is not None:
        return None
    model = load_model(parts.config.model, parts.plan, parts.plugins, parts.config.seed, hooks=("on_load",))
    model.requires_grad_(False)
    if parts.plan.strategy.engine == "fsdp2" and parts.plan.topology.world_size > 1:
        _shard(model, parts)
    return model


def _shard(model: Any, parts: Parts) -> None:
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard

    mixed = parts.plan.mixed_precision == "bf16"
    policy = {
        "mp_policy": MixedPrecisionPolicy(param_dtype=torch.bfloat16 if mixed else None),
        "offload_policy": CPUOffloadPolicy() if parts.plan.strategy.offload_param else OffloadPolicy(),
    }
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, **policy)
    fully_shard(model, **policy)


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
