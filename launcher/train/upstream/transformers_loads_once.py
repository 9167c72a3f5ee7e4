"""transformers 5.23 and accelerate 1.15: one rank of each node loads a model that FSDP2 shards, the others leave it on `meta`.

from_pretrained (modeling_utils.py) decides by the variable FSDP_CPU_RAM_EFFICIENT_LOADING, which the trainer's arguments set
for the whole process: every later model would be empty on all ranks except the first of a node. fsdp2_load_full_state_dict
(accelerate, utils/fsdp_utils.py) sends parameters alone: it fails at a buffer of the state dict ("'Tensor' object has no
attribute 'device_mesh'"), and a buffer that is not in it keeps the content that its own rank gave it. If it was copied from a
weight (peft's trainable tokens), a rank that has not loaded the weights has no content for it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from launcher.errors import ConfigError

_VARIABLE = "FSDP_CPU_RAM_EFFICIENT_LOADING"


@contextmanager
def loading(once: bool) -> Iterator[None]:
    """Within the context, one rank of each node loads, if `once`; every rank otherwise, and after it."""
    os.environ[_VARIABLE] = str(once).lower()
    try:
        yield
    finally:
        os.environ[_VARIABLE] = "false"


def share_buffers(model: Any) -> None:
    """Gives every rank the buffers of rank 0, bit for bit. Collective; ConfigError for buffers that a checkpoint would hold."""
    from accelerate.state import PartialState

    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    kept = [name for name in model.state_dict() if name not in parameters]
    if kept:
        raise ConfigError(
            f"strategy.cpu_ram_efficient_loading=true cannot send {kept[0]}, a buffer of this model; set "
            "strategy.cpu_ram_efficient_loading=false"
        )
    state = PartialState()
    for name, buffer in list(model.named_buffers(remove_duplicate=False)):
        parent, _, own = name.rpartition(".")
        there = torch.empty_like(buffer, device=state.device) if buffer.is_meta else buffer.to(state.device)
        dist.broadcast(there, src=0)
        model.get_submodule(parent)._buffers[own] = there.to("cpu" if buffer.is_meta else buffer.device)


def shard_from_rank_0(model: Any, shard: Any, *, cpu_offload: bool) -> None:
    """Shards a model that rank 0 has loaded: `shard(model)` is called with its parameters on `meta`. Collective."""
    from accelerate.state import PartialState
    from accelerate.utils.fsdp_utils import fsdp2_load_full_state_dict

    whole, state = model.state_dict(), PartialState()
    buffers = {name: buffer.to(state.device) for name, buffer in model.named_buffers()}
    model.to("meta")
    model.tie_weights()
    shard(model)
    fsdp2_load_full_state_dict(state, model, whole, cpu_offload=cpu_offload)  # pyright: ignore[reportArgumentType]
    for name, buffer in buffers.items():
        parent, _, own = name.rpartition(".")
        model.get_submodule(parent)._buffers[own] = buffer
    model.tie_weights()
