"""Opening a run's base model, or an export of the run, in a single process."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from launcher.config import Init, RopeScalingConfig
from launcher.plugins.base import Plugin, apply
from launcher.plugins.decide import Decided
from launcher.train.model import load_model

ADAPTER = "adapter_config.json"
_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_FOUR_BIT = 1.0
"""Bytes per weight while 4-bit weights are created: half a byte, constants, embeddings and the 16-bit weights of one file."""
_FALLBACK_ON_CPU = "sdpa"


@dataclasses.dataclass(frozen=True)
class _LoadOn(Plugin):
    """Loads onto one device, and with the on_load hooks of a run's plugins alone, which decide how weights are loaded."""

    plugins: tuple[Plugin, ...]
    device: str

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        found = apply(self.plugins, "on_load", kwargs)
        return {**found, "device_map": {"": self.device}}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, and not a full model."""
    return (folder / ADAPTER).is_file()


def open_base(
    decided: Decided, *, device: str = "cpu", dtype: str | None = None, changed: bool = False
) -> Any:
    """The base model of the run, quantised if it was in training; with `changed`, also after on_model of every plugin,
    except those with GPU kernels."""
    only = _LoadOn(tuple(decided.plugins), device)
    then = [_OnModel(tuple(one for one in decided.plugins if not one.traits.gpu_kernels))] if changed else []
    return load_model(
        _model_config(decided, device), _plan(decided, dtype), [only, *then], decided.config.seed
    )


@dataclasses.dataclass(frozen=True)
class _OnModel(Plugin):
    plugins: tuple[Plugin, ...]

    def on_model(self, model: Any) -> Any:
        return apply(self.plugins, "on_model", model)


def open_whole(folder: Path, decided: Decided, *, device: str = "cpu", dtype: str | None = None) -> Any:
    """The full model in a folder, in the class of the trained model and in the number format in which it was saved."""
    config = dataclasses.replace(
        _model_config(decided, device),
        name_or_path=str(folder.absolute()),
        init=Init.pretrained,
        revision=None,
        gguf_file=None,
        rope_scaling=RopeScalingConfig(),  # the saved model has it already
    )
    plan = _plan(decided, dtype or saved_dtype(folder))
    return load_model(config, plan, [_LoadOn((), device)], decided.config.seed)


def load_back(folder: Path, decided: Decided, *, device: str = "cpu", dtype: str | None = None) -> Any:
    """The model in an exported folder, as any user would load it: an adapter over a newly loaded base, or a full model."""
    if not is_adapter(folder):
        return open_whole(folder, decided, device=device, dtype=dtype)
    from peft import PeftModel

    return PeftModel.from_pretrained(open_base(decided, device=device, dtype=dtype), folder).eval()


def saved_dtype(folder: Path) -> str:
    """The number format of the largest tensor in a folder: float32, bfloat16 or float16."""
    largest, dtype = 0, torch.float32
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                shape = tensors.get_slice(name).get_shape()
                size = int(torch.Size(shape).numel())
                if size > largest:
                    largest, dtype = size, tensors.get_tensor(name).dtype
    return str(dtype).removeprefix("torch.")


def bytes_to_load(folder: Path, decided: Decided, *, dtype: str | None = None, parameters: int = 0) -> float:
    """Approximate bytes of host memory that `load_back` needs. `parameters`: number in the base, if the plan lacks it."""
    if not is_adapter(folder):
        return 1.1 * sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    plan = decided.plan
    four_bit = dtype is None and plan.adapter is not None and plan.adapter.four_bit
    size = _FOUR_BIT if four_bit else _BYTES[dtype or plan.weights_dtype]
    return 1.1 * size * (plan.model.parameters or parameters)


def _model_config(decided: Decided, device: str) -> Any:
    """The model configuration of the run, without an attention kernel that needs a GPU if this host has none."""
    config = decided.config.model
    if device == "cpu" and config.attn_implementation:
        return dataclasses.replace(config, attn_implementation=_FALLBACK_ON_CPU)
    return config


def _plan(decided: Decided, dtype: str | None) -> Any:
    """The plan of the run, for a single process."""
    return dataclasses.replace(decided.plan, device="cpu", weights_dtype=dtype or decided.plan.weights_dtype)
