"""Bytes that the forward pass of all blocks keeps for the backward pass on one GPU."""

from launcher.plan.blocks import blocks_of, head_dim, is_plain
from launcher.plan.memory.block import block_activation_bytes, norm_bytes, tile_bytes
from launcher.plan.memory.listed import listed_block_bytes
from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term
from launcher.strategies.trained import Moment

STASHED = 5
"""Tensors that trl keeps on the GPU while it offloads activations."""


def activation_bytes_at(load: Load, moment: Moment) -> float:
    """Activations at a moment of a step: all that are kept until the head's backward pass, those of one block at its own."""
    stream = load.stream_width * load.shape.hidden_size * load.tokens
    whole = activation_bytes(load)
    block = max(one for one, _ in _blocks(load))
    if load.offloads_activations and moment not in (Moment.BEGIN, Moment.EMBEDDING):
        stashed = stashed_bytes(load, moment)
        whole = min(whole, stashed + (block if moment.in_blocks and load.checkpointing else 0))
        block = min(block + stashed, whole)
    if moment is Moment.STEP or moment.between_steps:
        return 0
    if (
        moment is Moment.REFERENCE and load.generated
    ):  # the reference's pass comes before that of the trained model
        return 0
    if moment in (Moment.BEGIN, Moment.EMBEDDING):
        return stream
    if moment is Moment.LAST_BLOCK:
        return block + stream + tile_bytes(load)
    if load.checkpointing and moment is not Moment.FIRST_BLOCK:
        return whole - block + (stream if load.stream_width == 4 else 0)
    return whole


def activation_bytes(load: Load) -> float:
    """Activations at the peak: of all blocks, or with checkpointing the input of each block and all of one; and the final norm.

    Source: Chen et al. (arXiv 1604.06174) and block_activation_bytes. Compared with autograd's saved tensors on a CPU:
    within 5 %, in fp32 on the launcher's own ranks and in bf16 under autocast.
    """
    each = _blocks(load)
    blocks, block = load.shape.num_hidden_layers, max(one for one, _ in each)
    kept = sum(one * count for one, count in each)
    if (
        not load.trains_embedding
    ):  # nothing before the first adapter needs a gradient, so the norm before it keeps nothing
        kept -= norm_bytes(load) * load.tokens
    if load.checkpointing:
        stream = load.stream_width * load.shape.hidden_size * load.tokens
        kept = (
            blocks * stream + block - (stream if load.stream_width == 4 else 0)
        )  # the first norm keeps it anyway
    return kept + norm_bytes(load) * load.tokens + _shared_bytes(load) + router_bytes(load) + tile_bytes(load)


def router_bytes(load: Load) -> float:
    """Bytes that the loss of the routers keeps (trainer.router_aux_loss_coef): of each token and expert of every block a logit,
    and its probability in fp32, also with checkpointing.

    Source: launcher/train/experts.py. Unverified.
    """
    if not load.balances:
        return 0
    return load.layers * load.tokens * (load.shape.num_experts or 0) * (load.width + 4)


def stashed_bytes(load: Load, moment: Moment) -> float:
    """Activations that are still on the GPU while they are offloaded: the last five tensors, until they are copied, and tensors
    that autograd saves twice, as it does the fp32 input of a norm. With checkpointing the blocks' inputs are saved; without it
    the MLP's four tensors are back in its backward pass.

    Source: trl 1.16, models/activation_offloading.py (max_fwd_stash_size, storage_to_tensor_id). Lifetimes on a fake CUDA
    device, no kernels.
    """
    if load.checkpointing:
        return STASHED * load.stream_width * load.hidden_size * load.tokens
    last = (
        4 * load.width * load.shape.intermediate_size if moment.in_blocks else STASHED * 4 * load.hidden_size
    )
    norms = 4 * sum(width for width in load.counts.norms if width == load.hidden_size) * load.layers
    return (last + norms) * load.tokens


def _blocks(load: Load) -> list[tuple[float, int]]:
    """(bytes of one block, number of blocks) for each kind of block."""
    if not load.blocks:
        plain = is_plain(load.shape)
        load.blocks.extend([(block_activation_bytes(load), load.layers)] if plain else _listed(load))
    return load.blocks


def _listed(load: Load) -> list[tuple[float, int]]:
    """(bytes of one block, number of blocks) for each kind of block of a model that is not Llama-class."""
    norm = norm_bytes(load)
    blocks = [block for block in blocks_of(load.shape) if block.layers]
    return [(listed_block_bytes(load, block, norm) * load.tokens, block.count) for block in blocks]


def _shared_bytes(load: Load) -> float:
    """Bytes that are kept once for all blocks: the rotary table, and the head's copy of its input."""
    shape = load.shape
    rotary = 2 * load.stream_width * head_dim(shape) * load.length / load.degrees.sequence
    return rotary + load.stream_width * shape.hidden_size * load.tokens


ACTIVATIONS = Term(
    name="activations",
    at=activation_bytes_at,
    formulas=(activation_bytes, block_activation_bytes, listed_block_bytes, router_bytes, tile_bytes),
    shown_by="ranks on a CPU and bf16 under autocast, within 5 %; dropout, experts, liger's kernels and models that are not "
    "Llama-class unverified",
)
