"""Replacing the forward passes of a model's layers by those of liger-kernel.

liger-kernel 0.8 also replaces classes and functions in transformers' modules, for every model that the process builds later. An
export is loaded back on the CPU, where those kernels do not run: `originals` puts transformers' own back for that time.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from transformers.integrations.liger import apply_liger_kernel

from launcher.errors import PlanError

_REPLACED: list[tuple[Any, str, Any, Any]] = []
"""Module or class, the name of its attribute, the attribute before, and liger-kernel's."""


def with_layers(model: Any, wanted: dict[str, bool], way_out: str) -> Any:
    """The model with its layers of the `wanted` kinds replaced; PlanError if liger-kernel does not support its type."""
    kind = model.config.model_type
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        known = ", ".join(sorted(MODEL_TYPE_TO_APPLY_LIGER_FN))
        raise PlanError(f"plugins.liger has no kernels for model type {kind}, only for {known}; {way_out}")
    before = [(where, dict(vars(where))) for where in _places(model)]
    try:
        apply_liger_kernel(model, wanted)
    except NotImplementedError as error:  # it has no rotary embeddings for some model types
        raise PlanError(f"plugins.liger: {error}; use plugins.liger.rope=false, or {way_out}") from None
    for where, attributes in before:
        for name, now in list(vars(where).items()):
            if name in attributes and attributes[name] is not now:
                _REPLACED.append((where, name, attributes[name], now))
    return model


@contextlib.contextmanager
def originals() -> Iterator[None]:
    """The context in which models are built and run with transformers' own classes and functions."""
    for where, name, own, _ in reversed(_REPLACED):
        setattr(where, name, own)
    try:
        yield
    finally:
        for where, name, _, fused in _REPLACED:
            setattr(where, name, fused)


def _places(model: Any) -> list[Any]:
    """The modules in which the model's layers are written, with the classes that they define, and torch.nn."""
    names = {type(layer).__module__ for layer in model.modules()}
    modules = [sys.modules[name] for name in sorted(names) if not name.startswith("torch.")]
    classes = [
        kind
        for module in modules
        for kind in list(vars(module).values())
        if isinstance(kind, type) and kind.__module__ == module.__name__
    ]
    return [*modules, *classes, torch.nn, torch.nn.functional]
