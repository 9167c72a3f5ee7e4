"""A copy of the trained state of this rank in host memory, which is written to disk while training continues."""

import torch

from launcher.checkpoint.pieces import Piece
from launcher.train.checkpoint.shards import WEIGHT, Shard

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
TORCH = {name: dtype for dtype, name in DTYPES.items()}
_ALIGN = 8


class Snapshot:
    """One buffer for all saves. Training stops only for the copy into it."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self.pieces: list[Piece] = []

    def take(self, shards: list[Shard], rank: int, world_size: int, *, weights_only: bool = False) -> None:
        """Copies what this rank has to write: weights, and the optimizer's state unless `weights_only`. Parameters that every
        rank holds are distributed over the ranks by size."""
        tensors = [
            (f"{kind}/{shard.name}", shard.start, tensor)
            for shard in _own(shards, rank, world_size)
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
    own = [shard for shard in shards if not shard.whole]
    load = [0] * world_size
    for shard in sorted((shard for shard in shards if shard.whole), key=lambda shard: -shard.numel):
        writer = load.index(min(load))
        load[writer] += shard.numel
        if writer == rank:
            own.append(shard)
    return own
