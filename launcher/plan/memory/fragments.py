"""GPU memory that torch's caching allocator holds in addition to the tensors: free memory between tensors that are in use."""

from collections.abc import Mapping

from launcher.plan.blocks import head_dim
from launcher.plan.memory.block import adapted_layers
from launcher.plan.memory.buffers import unit_bytes
from launcher.plan.memory.context import CONTEXT
from launcher.plan.memory.load import Load
from launcher.plan.memory.logits import TILE_TOKENS, TILE_VOCABULARY
from launcher.plan.memory.term import ON_FAKE_CUDA, Term

_MIB = 1 << 20
PAGE = 20 * _MIB
"""Bytes that a growing segment maps at once for requests of more than 1 MiB."""
ENDING = 12
"""Results in a decoder block that are freed within the block's own pass: of both norms, of q, k and v, of q and k with
positions, of the attention's last layer, of the MLP's product and its last layer, and of both sums."""
KEPT = 11
"""Results in a decoder block that its backward pass needs: the inputs of both norms, of q, k and v, and of the MLP, q, k, v,
the attention's result, the gate, its activation and the up projection."""


def fragmentation_bytes(load: Load, before: Mapping[str, float]) -> float:
    """Memory that the allocator holds in addition to the tensors: cluster.fragmentation times the tensors at the peak, if it is
    set; otherwise by the allocator's rules, with segments that grow (cluster.expandable_segments) or without.
    """
    if load.fragmentation is not None:
        return load.fragmentation * sum(count for name, count in before.items() if name != CONTEXT.name)
    return page_bytes(load) if load.expandable else segment_bytes(load)


def page_bytes(load: Load) -> float:
    """With segments that grow: a page of 20 MiB for each result of a block that is freed within the block's pass; twice that
    without an adapter, since the gradients of these results are freed between those of the weights, which stay until the step.

    All tensors lie in one range of addresses. A result that is freed between two that stay leaves a gap. The next request that
    is small enough takes it; the rest of the gap goes back to the device, except for the pages at its two ends, of which
    half is free on average. The sum depends neither on the size of the model nor on the lengths of rows.
    Source: torch 2.13, c10/cuda/CUDACachingAllocator.cpp (ExpandableSegment, unmap_block). Lifetimes on a fake CUDA device, no
    kernels.
    """
    return ENDING * PAGE * (2 if load.adapter is None else 1)


def segment_bytes(load: Load) -> float:
    """With segments of fixed sizes: one segment for each size of a step's large requests, and the smallest of these sizes for
    each tensor that the backward pass needs.

    A free segment goes back to the device only as a whole, so a request finds no room where each free segment of its size is
    partly taken by smaller ones. The best fit takes one segment of a size after the other, so one of each is taken in part.
    Where rows have many lengths, a tensor lies in a segment that was made for another length, and what is left beside it is
    less than the smallest request, which would have taken it. It is an upper bound.
    Source: torch 2.13, c10/cuda/CUDACachingAllocator.cpp (get_free_block, release_cached_blocks). Lifetimes on a fake CUDA
    device, no kernels.
    """
    sizes = set(_sizes(load))
    kept = KEPT + len(adapted_layers(load))
    tensors = load.layers + kept if load.checkpointing else load.layers * kept
    return sum(sizes) + tensors * min(sizes)


def _sizes(load: Load) -> list[float]:
    """Bytes of the large requests of a step that are made anew in every step."""
    shape, tokens, width = load.shape, load.tokens, load.width
    keys = shape.num_key_value_heads * head_dim(shape)
    sizes = [width * size * tokens for size in (keys, load.hidden_size, shape.intermediate_size)]
    sizes += [4 * load.hidden_size * tokens]
    if load.autocast and load.casts_each:
        sizes += [4 * shape.intermediate_size * tokens]
    if load.whole_logits:
        sizes += [4 * shape.vocab_size * tokens, width * shape.vocab_size * tokens]
    elif not load.scores:
        sizes += [min(tokens, TILE_TOKENS) * TILE_VOCABULARY * width]
    if load.trains_head or load.trains_embedding:
        sizes += [load.trained_width * load.table, width * load.table]
    if load.shards_weights:
        sizes += [unit_bytes(load).block]
    return [max(size, _MIB) for size in sizes]


FRAGMENTATION = Term(
    name="fragmentation",
    count=fragmentation_bytes,
    formulas=(fragmentation_bytes, page_bytes, segment_bytes),
    shown_by=ON_FAKE_CUDA,
)
