"""The trained state of this rank: contiguous ranges of flattened parameters and of their optimizer state, and a copy of it.

The copy is in host memory, and is written to disk while training continues.
"""

import heapq
import re
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from launcher.checkpoint.pieces import Piece
from launcher.errors import CheckpointError

WEIGHT = "weight"
STEP = "step"
_WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)(?=\.)")
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
TORCH = {name: dtype for dtype, name in DTYPES.items()}
_ALIGN = 8


@dataclass
class Shard:
    """Elements [start, start + numel) of one trained parameter; the tensors are flat views, not copies."""

    name: str
    shape: list[int]
    start: int
    weight: torch.Tensor
    """The values that the optimizer updates: in fp32 if there is a master copy."""
    state: dict[str, Any] = field(default_factory=dict)
    """The optimizer's own dict of the tensor that contains this range; a restore changes it in place."""
    offset: int = 0
    """Start of the range in the tensors of `state`, in elements."""
    whole: bool = False
    """Whether every rank holds all of it, so that only one has to write it."""
    copies: int = 1
    """Ranks that hold this same range, of which each writes an equal part."""
    copy: int = 0
    """Which of them this rank is."""

    @property
    def numel(self) -> int:
        return self.weight.numel()

    def own_part(self) -> "Shard":
        """The part that this rank writes: all of it if no other rank holds the same range."""
        if self.copies == 1:
            return self
        first, last = (self.numel * number // self.copies for number in (self.copy, self.copy + 1))
        weight = self.weight.narrow(0, first, last - first)
        return replace(self, start=self.start + first, weight=weight, offset=self.offset + first, copies=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Kind -> flat view: the weight, and the optimizer's tensors of the same length."""
        found = {WEIGHT: self.weight}
        for kind, value in self.state.items():
            if kind != STEP and torch.is_tensor(value):
                run = flat(local(value))
                if self.whole:  # includes tensors of other sizes, such as the constants of 8-bit state
                    found[kind] = run
                    continue
                if run.numel() < self.offset + self.numel:
                    raise CheckpointError(
                        f"trainer.optim: its state {kind} of {self.name} is not of the parameter's size; checkpoints support "
                        "only optimizers such as adamw_torch; use trainer.optim=adamw_torch, or plugin=[...] without "
                        "sharded_checkpoint"
                    )
                found[kind] = run.narrow(0, self.offset, self.numel)
        return found


def clean(name: str) -> str:
    """The name of a parameter without the parts that DDP, torch.compile or FSDP add."""
    return _WRAPPERS.sub(r"\1", name).replace("..", ".").lstrip(".")


def zeros(state: dict[str, Any], original: Any, optimizer: Any) -> None:
    """Gives the state of one tensor its moments and its step, if it has none."""
    for kind in ("exp_avg", "exp_avg_sq"):
        if kind not in state:
            state[kind] = torch.zeros_like(original.data)
    old = state.get(STEP)
    device = original.device if _fused(optimizer) else None
    state[STEP] = old if isinstance(old, int) else torch.zeros((), dtype=torch.float32, device=device)


def local(tensor: Any) -> torch.Tensor:
    """This rank's part of a DTensor; any other tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as one row, without a copy."""
    return tensor.detach().view(-1)


def _fused(optimizer: Any) -> bool:
    """Whether its kernel reads the step, which is then on the parameter's device (torch 2.13, optim/adamw.py)."""
    return any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)


class Snapshot:
    """One buffer for all saves. Training stops only for the copy into it."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self.pieces: list[Piece] = []
        self.whole: list[str] = []
        """Parameters that this rank alone writes whole. Empty in a run of one rank, which writes everything."""

    def take(self, shards: list[Shard], rank: int, world_size: int, *, weights_only: bool = False) -> None:
        """Copies what this rank has to write: weights, and the optimizer's state unless `weights_only`. Parameters that every
        rank holds are distributed over the ranks by size; ranges that several ranks hold are divided among them."""
        own = _own(shards, rank, world_size)
        self.whole = [shard.name for shard in own if shard.whole and world_size > 1]
        tensors = [
            (f"{kind}/{shard.name}", shard.start, tensor)
            for shard in own
            for kind, tensor in shard.tensors().items()
            if tensor.numel() and (kind == WEIGHT or not weights_only)
        ]
        tensors.sort(key=lambda item: -item[2].element_size())  # aligned in the file as in memory
        self.pieces = [Piece(name, start, t.numel(), DTYPES[t.dtype]) for name, start, t in tensors]
        size = sum(piece.bytes for piece in self.pieces)
        if self._buffer.numel() < size:
            self._buffer = torch.empty(size, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        offset = 0
        targets: list[torch.Tensor] = []
        for piece, (_, _, tensor) in zip(self.pieces, tensors, strict=True):
            targets.append(self._buffer.narrow(0, offset, piece.bytes).view(tensor.dtype))
            offset += piece.bytes
        for target, (_, _, tensor) in zip(targets, tensors, strict=True):
            target.copy_(tensor, non_blocking=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def data(self) -> memoryview:
        """The bytes of all pieces, in order."""
        return memoryview(self._buffer.numpy())


def _own(shards: list[Shard], rank: int, world_size: int) -> list[Shard]:
    own = [shard.own_part() for shard in shards if not shard.whole]
    load = [(0, one) for one in range(world_size)]  # a heap: the rank with the least load is first
    for shard in sorted((shard for shard in shards if shard.whole), key=lambda shard: -shard.numel):
        elements, writer = load[0]
        heapq.heapreplace(load, (elements + shard.numel, writer))
        if writer == rank:
            own.append(shard)
    return own
