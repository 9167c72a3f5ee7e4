"""Temporary memory of a block's passes, which is freed when the pass of the block ends."""

from launcher.plan.blocks import head_dim
from launcher.plan.memory.block import adapted_layers, casts_inputs
from launcher.plan.memory.load import Load


def working_bytes(load: Load) -> float:
    """Temporary memory: the boolean mask from which the blocks' masks are made, and the gradients of one block's widest values,
    which are the MLP's product and one of its factors.

    An fp32 adapter of the down projection needs, while the block is computed again, the product, its fp32 copy, and two tensors
    of the residual stream's size; without checkpointing, in the last block's forward pass, six such tensors: the stream before
    and after attention, the norm's result and its cast, and the results of the layer and of the adapter. The widest 4-bit layer
    is unpacked in both
    passes, in the forward pass's format. DoRA computes the widest layer's weights and the adapter's product again in each pass,
    in fp32 and from an identity matrix.
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
        if casts_inputs(load) and "down_proj" in adapted_layers(load):
            product = (load.width + 4) * load.shape.intermediate_size * share
            copies = 2 if load.checkpointing else 6
            wide = max(wide, product + copies * load.stream_width * load.hidden_size)
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
