"""Bytes of weights on one GPU: trained weights, frozen weights, and the constants of 4-bit weights."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.teacher import teacher_bytes
from launcher.plan.memory.term import ON_CPU_RANKS, Term
from launcher.strategies.base import Tensors

_BLOCK, _NESTED_BLOCK = 64, 256
_CODE, _NESTED_CODE = 16 * 4, 256 * 4


def weight_bytes(load: Load) -> float:
    """Weights: trained ones in fp32 (bf16 under DeepSpeed, whose fp32 copy counts as optimizer), frozen ones in bf16.

    They are sharded under ZeRO-3 and FSDP2, and 0 if they are offloaded, except for the constants of 4-bit weights.
    Source: Rajbhandari et al., ZeRO (arXiv 1910.02054), section 5.3. Equal to the byte to ranks on a CPU.
    """
    constants = (
        quantisation_bytes(load) + reference_bytes(load) + second_copy_bytes(load) + teacher_bytes(load)
    )
    if load.strategy.offload_param and load.shards_weights:
        return constants
    if not load.shards_weights:
        return load.trained * load.trained_width + frozen_bytes(load) + constants
    return sharded_weight_bytes(load) + constants


def reference_bytes(load: Load) -> float:
    """Weights of the reference model: of a full fine-tune a frozen second model, in the format of the trained weights and
    sharded like them. With an adapter the reference is the model without it, which costs nothing.

    Source: launcher/train/methods/reference.py; trl 1.16, models/utils.py (prepare_deepspeed). Lifetimes on a fake CUDA device.
    """
    if not load.second_model or (load.strategy.offload_param and load.shards_weights):
        return 0
    return (
        load.shard(load.all_tensors) * load.trained_width
        if load.shards_weights
        else load.parameters * load.trained_width
    )


def second_copy_bytes(load: Load) -> float:
    """The second copy of all weights (strategy.hpz_size), sharded over that many ranks; of trained ones from the first gather
    of a step to its end.

    Source: DeepSpeed 0.19.8, partition_parameters.py (_partition_param_sec) and stage3.py (invalidate_secondary_tensor). Equal
    to the byte to ranks on a CPU.
    """
    degrees = load.degrees
    return 0 if degrees.hpz == 1 else sharded_weight_bytes(load) * degrees.shard_size / degrees.hpz


def sharded_weight_bytes(load: Load) -> float:
    """Bytes of the first rank's share of all weights, without the constants of 4-bit weights."""
    trained = load.shard(load.trained_tensors) * load.trained_width
    if load.adapter is None:
        return trained
    if not load.adapter.four_bit:
        return trained + load.shard(load.counts.all_tensors) * load.width
    packed = [((rows * columns // 2, 1), count) for rows, columns, count in load.counts.layers]
    return trained + load.shard(packed) + (load.parameters - load.linear) * load.width / load.shard_size


def weight_shards(load: Load) -> list[tuple[float, int]]:
    """(bytes, number of tensors with it) of the first rank's shard of each weight, trained or frozen."""

    def own(tensors: Tensors, width: float) -> list[tuple[float, int]]:
        return [(load.shard([(dims, 1)]) * width, count) for dims, count in tensors]

    trained = own(load.trained_tensors, load.trained_width)
    if load.adapter is None:
        return trained
    if not load.adapter.four_bit:
        return trained + own(load.all_tensors, load.width)
    packed = [((rows * columns // 2, 1), count) for rows, columns, count in load.counts.layers]
    quantised = {(columns, rows) for rows, columns, _ in load.counts.layers}
    rest = [(dims, count) for dims, count in load.all_tensors if dims not in quantised]
    return trained + own(packed, 1) + own(rest, load.width)


def frozen_bytes(load: Load) -> float:
    """Frozen weights of the whole model, in the forward pass's format, or half a byte each if they are quantised to 4 bits.

    In 8 bits each has one byte, and each output of a layer an fp32 scale.
    bitsandbytes quantises only the linear layers within blocks, and not embeddings, norms, head and experts.
    Source: Dettmers et al., QLoRA (arXiv 2305.14314), section 3, and LLM.int8() (arXiv 2208.07339); transformers'
    bitsandbytes page.
    """
    if load.adapter is None:
        return 0
    if load.adapter.eight_bit:
        rows = sum(columns * count for _, columns, count in load.counts.layers)
        return load.linear + 4 * rows + (load.parameters - load.linear) * load.width
    if not load.adapter.four_bit:
        return load.parameters * load.width
    return load.linear / 2 + (load.parameters - load.linear) * load.width


def quantisation_bytes(load: Load) -> float:
    """Constants of 4-bit weights: one fp32 per 64 weights; with double quantisation one byte, and one fp32 per 256 bytes.

    Each layer also has its code tables. They are not parameters, so neither FSDP2 nor ZeRO-3 shards them.
    Source: Dettmers et al. (as above), section 3; bitsandbytes 0.50's QuantState.
    """
    if load.adapter is None or not load.adapter.four_bit:
        return 0
    total = 0
    for rows, columns, count in load.counts.layers:
        blocks = -(-rows * columns // _BLOCK)
        nested = blocks + -(-blocks // _NESTED_BLOCK) * 4 + _NESTED_CODE + 4
        total += count * (_CODE + (nested if load.adapter.double_quant else blocks * 4))
    return total


WEIGHTS = Term(
    name="weights",
    count=lambda load, before: weight_bytes(load),
    formulas=(
        weight_bytes,
        frozen_bytes,
        quantisation_bytes,
        reference_bytes,
        second_copy_bytes,
        teacher_bytes,
    ),
    shown_by=f"{ON_CPU_RANKS}; a teacher's unverified",
)
