"""How much slower products of few tokens are, because a GPU computes them in whole waves of tiles."""

from launcher.plan.gpu import Gpu
from launcher.plan.memory.load import Load

TILES = ((256, 128), (128, 256), (128, 128))
"""Rows and columns of the result that one multiprocessor computes at once; the best of these is taken."""


def wave_slowdown(load: Load, tokens: float, gpu: Gpu) -> float:
    """The time of a block's products with `tokens` rows over that of as many FLOPs in full waves; at least 1.

    The multiprocessors compute a tile each, so that the last wave of tiles takes as long as a full one. Forward and repeated
    passes have the layer's outputs as columns, the backward pass its inputs. The gradients of weights have many tiles in any
    case, and libraries also split the sums of a product, which is not counted.
    Source: NVIDIA, Matrix Multiplication Background User's Guide, sections 3.1 and 3.2 (tile and wave quantization).
    """
    forwards = 1 + int(load.checkpointing) + load.extra_passes
    needed = taken = 0.0
    for rows, columns in load.counts.linears.values():
        flops = float(rows * columns)
        needed += flops * (forwards + 1)
        taken += flops * (forwards / full_share(tokens, columns, gpu) + 1 / full_share(tokens, rows, gpu))
        if load.adapter is None:
            needed, taken = needed + flops, taken + flops
    return taken / needed if needed else 1.0


def full_share(rows: float, columns: float, gpu: Gpu) -> float:
    """Share of the multiprocessors' time that computes values of a result with these rows and columns."""
    return max(_share(rows, columns, tile, gpu.multiprocessors) for tile in TILES)


def _share(rows: float, columns: float, tile: tuple[int, int], multiprocessors: int) -> float:
    tiles = -(-rows // tile[0]) * -(-columns // tile[1])
    waves = -(-tiles // multiprocessors)
    return rows * columns / (waves * multiprocessors * tile[0] * tile[1])
