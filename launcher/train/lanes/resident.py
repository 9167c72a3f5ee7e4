"""The base model that all lanes share: each lane has modules of its own, whose frozen tensors are the same."""

import copy
from itertools import chain
from typing import Any

import torch


def with_same_tensors(model: Any) -> Any:
    """A copy of the model's modules and hooks that holds the same tensors, quantisation constants included.

    A lane's plugins and its trainer change these modules as they change the model of a lone run, and the parameters that they
    add belong to the lane alone.
    """
    same: dict[int, Any] = {id(one): one for one in chain(model.parameters(), model.buffers())}
    for module in model.modules():
        for value in (*vars(module).values(), *(vars(one) for one in module.parameters(recurse=False))):
            for one in value.values() if isinstance(value, dict) else (value,):
                if torch.is_tensor(one) or type(one).__name__ == "QuantState":  # bitsandbytes 0.50
                    same[id(one)] = one
    return copy.deepcopy(model, same)
