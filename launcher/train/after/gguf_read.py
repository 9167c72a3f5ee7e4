"""Reads a GGUF file back and compares its tensors with those of the model from which it was made."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

_ROUNDING = {"F32": 1e-5, "F16": 2e-3, "BF16": 1e-2, "Q8_0": 3e-2, "Q6_K": 6e-2}
"""Largest difference of a tensor, relative to its size, that rounding to its type explains."""
_COARSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What was found in a file."""

    count: int
    """Number of tensors in the file."""
    values: int
    """Number of values in the file."""
    expected: int
    """Number of values in the model."""
    compared: int
    """Number of tensors that were found by their names."""
    difference: float | None
    """The largest difference of a tensor, relative to its size; None if none was found."""
    wrong: tuple[str, ...]
    """Names of tensors that differ by more than rounding."""


def read_tensors(file: Path, model: Path) -> Tensors:
    """The tensors of the file, each compared with the one of the model's folder that llama.cpp's table of names gives.

    The converter changes the order of rows for some attention layers, and adds 1 to some norms. Therefore
    the sums and the sums of squares of rows are compared, in any order.
    """
    import gguf

    reader: Any = gguf.GGUFReader(str(file))
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    architecture = reader.fields["general.architecture"].contents()
    number = next((key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), None)
    blocks = reader.fields.get(f"{architecture}.block_count")
    names: Any = (
        gguf.get_tensor_name_map(number, blocks.contents()) if number is not None and blocks else None
    )
    expected, worst, wrong, compared = 0, [0.0], list[str](), 0
    for name, tensor in _tensors_of(model):
        expected += tensor.numel()
        known = names.get_name(name, try_suffixes=(".weight", ".bias")) if names else None
        if known not in tensors:
            continue
        compared += 1
        found = tensors[known]
        values = torch.from_numpy(np.array(gguf.quants.dequantize(found.data, found.tensor_type), np.float32))
        apart = _apart(values, tensor.float())
        worst.append(apart)
        if apart > _ROUNDING.get(found.tensor_type.name, _COARSE):
            wrong.append(name)
    return Tensors(
        count=len(tensors),
        values=sum(int(tensor.n_elements) for tensor in tensors.values()),
        expected=expected,
        compared=compared,
        difference=max(worst) if compared else None,
        wrong=tuple(wrong),
    )


def open_gguf(file: Path) -> Any:
    """The model that transformers makes of the file, in fp32; None if it does not know the architecture or a type in it."""
    try:
        return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except (ValueError, NotImplementedError, KeyError):
        return None


def _tensors_of(model: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                yield name, tensors.get_tensor(name)


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The relative difference of two tensors whose rows can have another order; infinite if their sizes differ."""
    if found.numel() != expected.numel():
        return float("inf")
    if expected.ndim == 1:
        found = found.reshape(-1)
        return min(_relative(found, expected), _relative(found - 1, expected))
    rows = found.reshape(-1, expected.shape[-1]), expected.reshape(-1, expected.shape[-1])
    sums = _relative(*(one.double().sum(-1).sort().values for one in rows))
    squares = _relative(*(one.double().square().sum(-1).sort().values for one in rows))
    return max(sums, squares)


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp_min(1e-12))
