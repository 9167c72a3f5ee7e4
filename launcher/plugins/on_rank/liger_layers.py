"""Replacing the forward passes of a model's layers by those of liger-kernel."""

from typing import Any

from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from transformers.integrations.liger import apply_liger_kernel

from launcher.errors import PlanError


def with_layers(model: Any, wanted: dict[str, bool], way_out: str) -> Any:
    """The model with its layers of the `wanted` kinds replaced; PlanError if liger-kernel does not support its type."""
    kind = model.config.model_type
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        known = ", ".join(sorted(MODEL_TYPE_TO_APPLY_LIGER_FN))
        raise PlanError(f"plugins.liger has no kernels for model type {kind}, only for {known}; {way_out}")
    apply_liger_kernel(model, wanted)
    return model
