"""Bytes that a decoder block of any model keeps for the backward pass, from the list of its layers."""

import math
from collections.abc import Mapping

from launcher.plan.adapter import adapts
from launcher.plan.blocks import Block, head_dim, is_expert, is_norm
from launcher.plan.memory.load import Load

_LAST = ("o_proj", "out_proj", "down_proj", "dense", "dense_4h_to_h", "c_proj", "fc2", "fc_out", "wo", "w2")
"""Names of the layers whose output is added to the residual stream, so that it is not kept for the backward pass."""


def listed_block_bytes(load: Load, block: Block, norm_bytes: float) -> float:
    """Bytes per token in a block of a model that is not Llama-class: what its layers keep, by the rules of a Llama's.

    Every layer's output is kept by the attention or the activation that follows it, except that of a part's last layer, which
    goes into the residual stream. Attention also keeps its output, and an activation its result. A trained layer keeps its
    input; under autocast each layer keeps its own copy. Only the experts that a token visits count. What an unknown operation
    (a convolution, a recurrence) keeps in addition is not counted. `norm_bytes`: those of one norm of the residual stream.
    Source: block_activation_bytes, which it equals for a Llama within 5 % (tests/unit/plan/test_blocks.py).
    """
    shape, width = load.shape, load.width
    norms = [dims[0] for path, dims in block.others.items() if is_norm(path, dims)]
    kept = norms.count(shape.hidden_size) * norm_bytes
    if len(norms) > norms.count(shape.hidden_size):
        raw = (shape.num_attention_heads + shape.num_key_value_heads) * head_dim(shape)
        kept += (4 + (width if load.adapter is None else 0)) * raw
    adapted = [] if load.adapter is None else adapts(shape, block, load.adapter)
    for part, layers in _parts(block.linears).items():
        kept += _part_bytes(load, part, layers, adapted)
    if load.adapter is not None and load.adapter.dora:
        kept += 2 * width * sum(block.linears[path][1] for path in adapted)
    kept += load.width * load.length * load.degrees.sequence if load.masked else 0
    return kept + _expert_bytes(load, block)


def _part_bytes(load: Load, part: str, layers: Mapping[str, tuple[int, int]], adapted: list[str]) -> float:
    """Bytes per token of a part of the block, such as its attention or its MLP."""
    width, adapter = load.width, load.adapter
    last = next((path for path in layers if path.rpartition(".")[2] in _LAST), None)
    first = [path for path in layers if path != last]
    kept = width * sum(layers[path][1] for path in first)
    inner = layers[last][0] if last else 0
    attends = "attn" in part or "attention" in part
    kept += width * inner  # the attention's output, or the activation's result
    if attends:
        kept += 4 * load.shape.num_attention_heads
        if load.degrees.sequence > 1 and (adapter is None or last in adapted):
            kept += width * inner  # the output layer keeps it after the exchange
    gated = not attends and sum(layers[path][1] for path in first) >= 2 * inner > 0
    product = width * inner if gated else 0
    if adapter is None:
        copies = len(first) if load.autocast and load.stream_width == 4 else min(len(first), 1)
        return kept + product + width * copies * max((layers[path][0] for path in first), default=0)
    mine = [path for path in adapted if path in layers]
    kept += width * adapter.r * len(mine)
    if adapter.dropout:
        return kept + sum((width + 1) * layers[path][0] for path in mine)
    if load.autocast and not adapter.four_bit and load.casts_each:
        return kept + sum(width * layers[path][0] for path in mine)
    shared = max((layers[path][0] for path in mine if path != last), default=0)
    return kept + width * shared + (product if last in mine else 0)


def _expert_bytes(load: Load, block: Block) -> float:
    """Bytes per token of the experts that it visits: gate, up, their product and the input, as in a Llama's MLP."""
    stacked = [dims for path, dims in block.others.items() if is_expert(path) and len(dims) == 3]
    if not stacked:
        return 0
    hidden = load.shape.hidden_size
    narrow = min(math.prod(dims[1:]) for dims in stacked) / hidden
    inputs = hidden + narrow if load.adapter is None or load.adapter.target_modules == "all-linear" else 0
    return load.width * (load.shape.num_experts_per_tok or 2) * (3 * narrow + inputs)


def _parts(linears: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, tuple[int, int]]]:
    """Path of a part of the block -> its layers."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for path, size in linears.items():
        found.setdefault(path.rpartition(".")[0], {})[path] = size
    return found
