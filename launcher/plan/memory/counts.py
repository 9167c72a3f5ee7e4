"""Counts of a model and its adapter, which do not depend on the strategy."""

import json
from functools import lru_cache
from typing import Any

from launcher.config import ArchitectureConfig, BlockConfig
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.adapter import Adapter, count_adapter, trained_tensors
from launcher.plan.model import (
    block_norms,
    count_linear,
    count_parameters,
    linear_layers,
    linear_shapes,
    model_tensors,
)


@frozen_dataclass
class ModelCounts:
    """Counts of a model and its adapter."""

    parameters: int
    linear: int
    norms: list[int]
    """Widths of a block's norms."""
    linears: dict[str, tuple[int, int]]
    """(in_features, out_features) of a block's linear layers, by their names."""
    layers: list[tuple[int, int, int]]
    """(in_features, out_features, count) of all linear layers of the model but its head."""
    trained: int
    trained_tensors: list[tuple[tuple[int, ...], int]]
    all_tensors: list[tuple[tuple[int, ...], int]]
    """The model's weights, without the adapter."""


@lru_cache(maxsize=64)
def count_model(named: tuple[tuple[str, Any], ...], listed: str, adapter: Adapter | None) -> ModelCounts:
    """The counts of a model, computed once for all settings that a search tries. `listed`: its blocks as JSON, if they are
    listed."""
    blocks = [BlockConfig(**one) for one in json.loads(listed)] if listed else None
    shape = ArchitectureConfig(**dict(named), blocks=blocks)
    parameters, tensors = count_parameters(shape), model_tensors(shape)
    return ModelCounts(
        parameters=parameters,
        linear=count_linear(shape),
        norms=block_norms(shape),
        linears=linear_shapes(shape),
        layers=linear_layers(shape),
        trained=count_adapter(shape, adapter) if adapter else parameters,
        trained_tensors=trained_tensors(shape, adapter) if adapter else tensors,
        all_tensors=tensors,
    )
