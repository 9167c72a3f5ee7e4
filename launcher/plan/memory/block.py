"""Bytes that one decoder block of a Llama-class model keeps in its forward pass for its backward pass."""

from collections.abc import Collection

from launcher.plan.blocks import head_dim
from launcher.plan.memory.load import Load

OF_MLP = ("gate_proj", "up_proj", "down_proj")


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
    kept = norms.count(shape.hidden_size) * norm_bytes(load) + width * 2 * (queries + keys)
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


def norm_bytes(load: Load) -> float:
    """Bytes per token in one RMSNorm: its input in fp32, its scale, and the normalised input if the norm is trained."""
    hidden, trained = load.shape.hidden_size, load.adapter is None
    if "rms_norm" in load.kernels:
        return load.stream_width * hidden + 4
    if load.shape.model_type in ("gemma", "gemma2", "gemma3_text"):  # computes in fp32 to its end
        return 4 * hidden + 4 + (4 * hidden if trained else 0)
    return 4 * hidden + 4 + (load.stream_width * hidden if trained else 0)


def casts_inputs(load: Load) -> bool:
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
    copies = casts_inputs(load)
    if adapter.dropout:
        return ranks + sum((width + 1) * linears[name][0] for name in names)
    if copies:
        return ranks + sum(width * linears[name][0] for name in names)
    shared = {inputs[name]: linears[name][0] for name in names}
    shared.pop("output", None)  # attention has kept its output already
    return ranks + width * sum(shared.values())
