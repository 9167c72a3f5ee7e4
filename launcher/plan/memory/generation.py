"""Bytes that the generation of answers needs on one GPU, between two training steps."""

from launcher.plan.blocks import head_dim
from launcher.plan.memory.block import adapted_layers
from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term
from launcher.plan.memory.working import block_pass_bytes
from launcher.strategies.trained import Moment

SAMPLING = 24
"""Bytes per entry of the vocabulary and answer: the head's logits, their fp32 copy, the scaled scores, their sorted copy with
indices (top_p), and the probabilities."""


def generation_bytes(load: Load, moment: Moment) -> float:
    """Generation: keys and values of every token of every answer of a step, which are generated at once, and one pass.

    The largest of two moments. While the prompts are read, a block's widest values of all their tokens are there. At the last
    token the longer copy of one block's keys or values is made while the shorter one is there, and repeated for every head,
    since prompts of unequal lengths need a mask. Keys have the format of the residual stream, in which they are rotated; values
    have that of the forward pass. Answers count with their full length.
    Source: trl 1.16, trainer/grpo_trainer.py (_generate_single_turn); transformers 5.23, cache_utils.py (DynamicLayer) and
    generation/utils.py (_sample).
    Unverified: on a fake CUDA device, training was the peak wherever the plan was held against lifetimes.
    """
    if moment is not Moment.GENERATE:
        return 0
    shape, rows = load.shape, load.sequences * load.accumulation
    prompt = max(load.length - load.generated, 1)
    sampling = SAMPLING * shape.vocab_size * rows
    mask = 0 if load.varlen else prompt
    reading = (
        cache_bytes(load, prompt) + (block_pass_bytes(load) + adapter_pass_bytes(load) + mask) * rows * prompt
    )
    block = cache_bytes(load, load.length) / load.layers
    repeated = 2 * load.width * shape.num_attention_heads * head_dim(shape) * rows * load.length
    return max(reading, cache_bytes(load, load.length) + block + repeated) + sampling


def cache_bytes(load: Load, length: int) -> float:
    """Bytes of the keys and values of all blocks, of `length` tokens of every answer of a step."""
    width = load.shape.num_key_value_heads * head_dim(load.shape)
    rows = load.sequences * load.accumulation
    return load.layers * rows * length * width * (load.stream_width + load.width)


def adapter_pass_bytes(load: Load) -> float:
    """Bytes per token by which fp32 adapters of the MLP exceed a block's pass: the base model generates, and accelerate's
    autocast is around the adapted one, so their product and its scaled copy are fp32.

    Source: peft 0.21's peft_model.py (generate) and lora/layer.py.
    """
    if (
        load.adapter is None
        or load.trained_width == 2
        or not {"gate_proj", "up_proj"} & set(adapted_layers(load))
    ):
        return 0
    return (2 * 4 - 2 * load.width) * load.shape.intermediate_size


GENERATION = Term(
    name="generation",
    at=generation_bytes,
    formulas=(generation_bytes,),
    shown_by="unverified",
)
