"""What a strategy makes its files from, and the files: the settings for accelerate, DeepSpeed and the trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from launcher.frozen_dataclass import frozen_dataclass
from launcher.strategies.degrees import Degrees


@frozen_dataclass
class StrategyInputs:
    """The values from which a strategy makes its files."""

    nodes: int
    degrees: Degrees
    global_batch_size: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    mixed_precision: str
    """bf16 or no."""
    max_grad_norm: float
    optim: str = "adamw_torch"
    """trainer.optim."""
    hidden_size: int | None = None
    """Width of the model; None if its shape is not known."""
    overlap_comm: bool | None = None
    """strategy.overlap_comm."""
    pin_memory: bool
    """Whether offloaded state is kept in pinned memory, which needs a GPU."""


@frozen_dataclass
class Files:
    """The settings for accelerate, DeepSpeed and the trainer."""

    accelerate: Mapping[str, Any]
    """The content of accelerate.yaml."""
    deepspeed: Mapping[str, Any] | None = None
    """The content of deepspeed.json; None if DeepSpeed is not used."""
    trainer_args: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    """Keyword arguments of transformers' TrainingArguments."""
