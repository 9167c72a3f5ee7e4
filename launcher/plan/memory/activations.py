"""Bytes that the forward pass keeps for the backward pass on one GPU."""

from collections.abc import Collection

from launcher.plan.blocks import blocks_of, head_dim, is_plain
from launcher.plan.memory.listed import listed_block_bytes
from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term
from launcher.strategies.trained import Moment

OF_MLP = ("gate_proj", "up_proj", "down_proj")
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
    if moment is Moment.REFERENCE and load.generated:  # its pass comes before that of the trained model
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
        kept -= _norm_bytes(load) * load.tokens
    if load.checkpointing:
        stream = load.stream_width * load.shape.hidden_size * load.tokens
        kept = (
            blocks * stream + block - (stream if load.stream_width == 4 else 0)
        )  # the first norm keeps it anyway
    return (
        kept + _norm_bytes(load) * load.tokens + _shared_bytes(load) + router_bytes(load) + tile_bytes(load)
    )


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
    norm = _norm_bytes(load)
    blocks = [block for block in blocks_of(load.shape) if block.layers]
    return [(listed_block_bytes(load, block, norm) * load.tokens, block.count) for block in blocks]


def block_activation_bytes(load: Load) -> float:
    """Bytes that one decoder block keeps of this rank's tokens, with an attention kernel that keeps no scores.

    It keeps the inputs of both norms in fp32, the inputs of trained linear layers and adapters, q, k, v and the attention's
    output, and the MLP's gate, its activation and the up projection. A frozen linear layer does not keep its input, and a
    frozen norm does not keep the normalised input; a norm of q and k keeps both. Under autocast each linear layer and adapter
    keeps its own copy. With a mask, k and v are repeated for every head, if a rank has several of them, and the mask is kept in
    the forward pass's format. Dropout's mask has one byte per value on a GPU, and only the experts that a token visits count
    (both unverified). liger's norms keep their input uncast, and its MLP keeps the gate and the up projection (liger-kernel
    0.8, ops/rms_norm.py and ops/swiglu.py; unverified).
    Ranks that share a sequence keep q, k and v of all tokens and an equal number of heads, at least one of each, which are as
    many bytes; and the attention's output twice, since it is exchanged before the layer that follows.
    Source: the operations of transformers' modeling_llama.py and peft's lora/layer.py; the method of Korthikanti et al.
    (arXiv 2205.05198), section 4.1; launcher/train/sequence/attention.py.
    """
    shape, width = load.shape, load.width
    queries = shape.num_attention_heads * head_dim(shape)
    keys = key_value_heads(load) * head_dim(shape)
    if load.masked and key_value_heads(load) > load.degrees.sequence:  # a view repeats a single one
        keys = queries
    norms = load.counts.norms
    kept = norms.count(shape.hidden_size) * _norm_bytes(load) + width * 2 * (queries + keys)
    kept += 4 * shape.num_attention_heads
    if len(norms) > norms.count(shape.hidden_size):  # norms of q and k, before these are rotated and repeated
        raw = queries + shape.num_key_value_heads * head_dim(shape)
        kept += (4 + (width if load.adapter is None else 0)) * raw
    experts = (shape.num_experts_per_tok or 2) if shape.num_experts else 1
    kept += mask_width(load)
    if load.tiled_share < 1:
        kept += load.stream_width * shape.hidden_size
    else:
        kept += width * (2 if "glu" in load.kernels else 3) * shape.intermediate_size * experts
    if (
        load.adapter is not None and load.adapter.dora
    ):  # the results of each layer and of its adapter, which the magnitude scales
        kept += 2 * width * sum(load.counts.linears[name][1] for name in adapted_layers(load))
    kept += exchanged_output(load)
    return (
        kept
        + _input_bytes(load, OF_MLP if load.tiled_share < 1 else ()) * (experts if shape.num_experts else 1)
    ) * load.tokens


def tile_bytes(load: Load) -> float:
    """Bytes of one tile of an MLP in its backward pass, where MLPs compute in tiles: what the MLP would keep of these tokens.

    Source: launcher/train/tiled_mlp.py; the operations of block_activation_bytes. Unverified on a GPU.
    """
    if load.tiled_share == 1:
        return 0
    factors = 2 if "glu" in load.kernels else 3
    kept = load.width * factors * load.shape.intermediate_size
    return (kept + _input_bytes(load) - _input_bytes(load, OF_MLP)) * load.tiled_share * load.tokens


def mask_width(load: Load) -> float:
    """Bytes per token of this rank of the mask that a block keeps: every rank needs that of whole sequences."""
    return load.width * load.length * load.degrees.sequence if load.masked else 0


def key_value_heads(load: Load) -> int:
    """Key-value heads of a block; ranks that share a sequence need one each, and repeat them if they are fewer."""
    return max(load.shape.num_key_value_heads, load.degrees.sequence)


def exchanged_output(load: Load) -> float:
    """Bytes per token of the attention's output after ranks have exchanged it, which its output layer keeps; 0 without that."""
    if load.degrees.sequence == 1 or (load.adapter is not None and "o_proj" not in adapted_layers(load)):
        return 0
    return load.width * load.shape.num_attention_heads * head_dim(load.shape)


def working_bytes(load: Load) -> float:
    """Temporary memory: the boolean mask from which the blocks' masks are made, and the gradients of one block's widest values,
    which are the MLP's product and one of its factors.

    An fp32 adapter of the down projection has, while the block is computed again, the product, its fp32 copy, and two copies of
    the residual stream. The widest 4-bit layer is unpacked in both passes, in the forward pass's format. DoRA computes the
    widest layer's weights and the adapter's product again in each pass, in fp32 and from an identity matrix.
    Source: transformers' masking_utils.py; the derivative of silu(gate) * up; peft 0.21's lora/layer.py and lora/dora.py;
    bitsandbytes 0.50's MatMul4Bit. DoRA and 4-bit weights unverified.
    """
    mask = load.sequences * load.length**2 if load.masked else 0
    share = load.tiled_share
    wide = 2 * load.width * load.shape.intermediate_size * share
    if share < 1:  # the results of the tiles, and their concatenation
        wide += 2 * load.width * load.hidden_size
    if load.degrees.sequence > 1:  # queries, or their gradients, before, during and after the exchange
        wide = max(wide, 3 * load.width * load.shape.num_attention_heads * head_dim(load.shape))
    unpacked = 0
    if load.adapter is not None:
        if _casts_inputs(load) and "down_proj" in adapted_layers(load):
            wide = max(
                wide,
                (load.width + 4) * load.shape.intermediate_size * share
                + 2 * load.stream_width * load.hidden_size,
            )
        if load.adapter.four_bit:
            unpacked = load.width * max(rows * columns for rows, columns in load.counts.linears.values())
    made = 0
    if load.adapter is not None and load.adapter.dora:
        layers = (load.counts.linears[name] for name in adapted_layers(load))
        made = max(
            ((4 * 4 + load.width) * rows * columns + (4 + load.width) * rows**2 for rows, columns in layers),
            default=0,
        )
    summed = 0  # the gradients of an MLP's weights, which are added up over its tiles
    if share < 1 and load.adapter is None:
        summed = 3 * load.width * load.hidden_size * load.shape.intermediate_size
    return mask + max(wide * load.tokens + unpacked, made) + summed


def reference_pass_bytes(load: Load) -> float:
    """Temporary memory of the reference model's forward pass: the widest values of one block (block_pass_bytes); autocast casts
    the widest layer of a second model in fp32.

    Source: transformers' modeling_llama.py; torch's autocast, which keeps no copy of weights without a gradient. Lifetimes on
    a fake CUDA device, no kernels.
    """
    cast = 0
    if load.second_model and load.autocast and load.casts_each:
        cast = load.width * max(rows * columns for rows, columns in load.counts.linears.values())
    return block_pass_bytes(load) * load.tokens + cast


def block_pass_bytes(load: Load) -> float:
    """Bytes per token of a block's forward pass without gradients: the MLP's gate and up projection, the activation and their
    product, the residual stream and a norm of it, and the final states.

    Source: transformers' modeling_llama.py. Lifetimes on a fake CUDA device, no kernels.
    """
    states = (3 * load.stream_width + 4 + load.width) * load.hidden_size
    return 4 * load.width * load.shape.intermediate_size + states


def _norm_bytes(load: Load) -> float:
    """Bytes per token in one RMSNorm: its input in fp32, its scale, and the normalised input if the norm is trained."""
    hidden, trained = load.shape.hidden_size, load.adapter is None
    if "rms_norm" in load.kernels:
        return load.stream_width * hidden + 4
    if load.shape.model_type in ("gemma", "gemma2", "gemma3_text"):  # computes in fp32 to its end
        return 4 * hidden + 4 + (4 * hidden if trained else 0)
    return 4 * hidden + 4 + (load.stream_width * hidden if trained else 0)


def _casts_inputs(load: Load) -> bool:
    """Whether each fp32 adapter over plain weights casts its input to fp32, of which autocast makes a bf16 copy."""
    four_bit = load.adapter is not None and load.adapter.four_bit
    return load.autocast and not four_bit and load.casts_each


def adapted_layers(load: Load) -> list[str]:
    """Names of a block's linear layers that have an adapter."""
    if load.adapter is None:
        return []
    targets = load.adapter.targets
    return [name for name in load.counts.linears if targets == "all-linear" or name in targets]


def _input_bytes(load: Load, without: Collection[str] = ()) -> float:
    """Bytes per token of the inputs of a block's linear layers and adapters; q, k and v share one, and so do gate and up.

    `without`: names of layers that do not count: those of OF_MLP, or none.
    """
    shape, width, adapter = load.shape, load.width, load.adapter
    linears = load.counts.linears
    inputs = {"q_proj": "attention", "k_proj": "attention", "v_proj": "attention", "o_proj": "output"}
    inputs |= {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "product"}
    if adapter is None:
        casts = load.autocast and load.stream_width == 4
        attention, mlp = (3, 2) if casts else (1, 1)
        product = 0 if without else shape.intermediate_size
        mlp = 0 if without else mlp
        return width * ((attention + mlp) * shape.hidden_size + product)
    names = [name for name in adapted_layers(load) if name not in without]
    if adapter.four_bit and width == 4:  # bf16 adapters in an fp32 forward pass: each casts its input
        return 2 * sum(adapter.r + linears[name][0] for name in names)
    ranks = width * adapter.r * len(names)
    # peft casts the input of fp32 adapters over plain weights; over 4-bit weights autocast would, but finds bf16 already
    copies = _casts_inputs(load)
    if adapter.dropout:
        return ranks + sum((width + 1) * linears[name][0] for name in names)
    if copies:
        return ranks + sum(width * linears[name][0] for name in names)
    shared = {inputs[name]: linears[name][0] for name in names}
    shared.pop("output", None)  # attention has kept its output already
    return ranks + width * sum(shared.values())


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
