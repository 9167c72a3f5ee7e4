"""How long one GPU computes in a step, by kind of kernel: products of matrices, attention, and what only moves memory.

The constants are fitted to published rows of throughput; tests/benchmarks/published_time.py scores them.
"""

from dataclasses import dataclass

from launcher.plan.blocks import attention_width, head_dim, seen_tokens
from launcher.plan.gpu import Gpu
from launcher.plan.memory.block import adapted_layers
from launcher.plan.memory.generation import cache_bytes
from launcher.plan.memory.load import Load
from launcher.plan.memory.optimizer import orthogonal_flops
from launcher.plan.model import parameters_by_kind
from launcher.plan.waves import wave_slowdown

PASS_S = 3e-4
"""Seconds that one block's forward and backward pass takes to launch its kernels, in addition to their work. An assumption."""
BLOCK_BYTES = 448.0
"""Bytes that norms, rotary embeddings, residuals and activation functions of a block read and write per token and unit of the
width, forward and backward. Fitted."""
NORM_BYTES, ROTARY_BYTES, GLU_BYTES = 96.0, 42.0, 12.0
"""Bytes that a fused kernel saves, forward and backward, for each value: of a norm (106 without it, 10 with it), of q and k
with their positions (50 and 8), and of gate and up (28 and 16). Counted by operation in transformers' modeling_llama.py, with
bf16 values and torch's derivatives; not measured."""
HEAD_BYTES = 20.0
"""Bytes that the loss reads and writes per token and entry of the vocabulary. Assumed before the fit."""
UNPACK_BYTES, UNPACK_SHARE = 2.6, 0.5
"""Bytes that are read and written to dequantise one 4-bit weight to bf16, and the share of the memory's bandwidth that this
reaches. Assumptions."""
OPERATION_S = 1.2e-5
"""Seconds that Python and PyTorch take to start one operation; a step takes at least that for each. Measured on a CPU with tiny
shapes: 10 to 15 us in 8 kinds of blocks (python -m tests.benchmarks.host_time)."""
HOOKED_FORWARDS = 3
"""Host time that non-reentrant checkpointing adds, in forward passes of a block: one more pass, and hooks for every tensor that
autograd saves. Measured the same way: 3.0 to 4.6."""
BLOCK_OPERATIONS, ADAPTER_OPERATIONS, FOUR_BIT_OPERATIONS = 45, 6, 3
"""Operations of a block's forward pass, of one adapted layer in addition, and of a 4-bit layer in addition, counted in
transformers' modeling_llama.py, peft's lora/layer.py and bitsandbytes' autograd/_functions.py."""
DECODE_S = 1e-3
"""Seconds that one block takes for one generated token besides reading its weights and cache: a loop of Python launches its
kernels. An assumption."""
ADAM_BYTES = 28.0
"""Bytes per trained parameter that the optimizer's step reads and writes: Adam with fp32 state and gradients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Seconds of a step by kind of kernel."""

    matrices_s: float = 0.0
    attention_s: float = 0.0
    memory_s: float = 0.0
    unpack_s: float = 0.0
    optimizer_s: float = 0.0
    launch_s: float = 0.0
    generate_s: float = 0.0
    started_s: float = 0.0
    """Seconds in which the host starts the operations of all passes, while the GPU computes."""

    @property
    def total_s(self) -> float:
        """The passes, the optimizer and the generation, one after another. The passes take at least the time that the host
        needs to start their operations."""
        passes = self.matrices_s + self.attention_s + self.memory_s + self.unpack_s + self.launch_s
        return max(passes, self.started_s) + self.optimizer_s + self.generate_s


def compute_time(load: Load, length: int, gpu: Gpu) -> Compute:
    """The time that a GPU computes in an optimizer step, over its forward and backward passes.

    Attention's backward pass computes the products of the forward pass once more, as flash attention does, and so costs 2.5
    times the forward pass. With a mask it also computes the half that causal attention leaves out, since the kernel that takes
    a mask leaves out nothing. Products of few tokens do not fill the GPU (wave_slowdown).
    Source: Dao, FlashAttention-2 (arXiv 2307.08691), section 4.1; torch's scaled_dot_product_attention.
    """
    shape, passes, again = load.shape, load.accumulation, int(load.checkpointing)
    tokens = load.sequences * load.answers * length * passes / load.degrees.sequence
    forwards = (
        1 + load.extra_passes / 3
    )  # block_bytes counts a forward and backward pass, which is three forward passes
    blocks = shape.num_hidden_layers
    memory = block_bytes(load) * blocks * (forwards + again / 3)
    memory += adapter_bytes(load) * blocks * (2.5 + again)
    memory += 0 if load.scores else HEAD_BYTES * shape.vocab_size
    four_bit = load.adapter is not None and load.adapter.four_bit
    unpacked = (
        block_parameters(load) * UNPACK_BYTES * (2 + again + load.extra_passes) * passes if four_bit else 0.0
    )
    bytes_s = gpu.memory_gb_s * 1e9
    taught = teacher_time(load, length, gpu)
    products = matrix_flops(load) * tokens * wave_slowdown(load, tokens / passes, gpu)
    return Compute(
        matrices_s=taught.matrices_s + products / (gpu.tflops * 1e12 * gpu.matrix_share),
        attention_s=taught.attention_s
        + attention_flops(load, length)
        * (3.5 + again + load.extra_passes)
        * (2 if load.masked else 1)
        * tokens
        / (gpu.tflops * 1e12 * gpu.attention_share),
        memory_s=taught.memory_s + memory * tokens / bytes_s,
        unpack_s=unpacked / (bytes_s * UNPACK_SHARE),
        optimizer_s=0.0
        if load.strategy.offloads
        else ADAM_BYTES * load.trained / load.shard_size / bytes_s
        + orthogonal_flops(load) / (gpu.tflops * 1e12 * gpu.matrix_share),
        launch_s=taught.launch_s + passes * blocks * PASS_S * (forwards + again / 3),
        generate_s=generate_time(load, gpu),
        started_s=taught.started_s
        + passes
        * blocks
        * block_operations(load)
        * (3 + repeated_forwards(load) + load.extra_passes)
        * OPERATION_S,
    )


def repeated_forwards(load: Load) -> int:
    """Host time that checkpointing adds, in forward passes of a block."""
    if not load.checkpointing:
        return 0
    return 1 if load.reentrant else HOOKED_FORWARDS


def block_bytes(load: Load) -> float:
    """Bytes per token that a block's norms, positions, residuals and activation functions read and write, forward and
    backward: BLOCK_BYTES, less what fused kernels save. These are liger's, or what torch.compile makes of the operations.
    """
    shape, all_bytes = load.shape, BLOCK_BYTES * load.shape.hidden_size
    fused = ("rms_norm", "rope", "glu") if load.compiled else load.kernels
    turned = (shape.num_attention_heads + shape.num_key_value_heads) * head_dim(shape)
    wide = shape.intermediate_size * ((shape.num_experts_per_tok or 2) if shape.num_experts else 1)
    saved = {
        "rms_norm": 2 * NORM_BYTES * shape.hidden_size,
        "rope": ROTARY_BYTES * turned,
        "glu": GLU_BYTES * wide,
    }
    least = 2 * 10 * shape.hidden_size + 8 * turned + 16 * wide  # what the fused kernels themselves take
    return max(all_bytes - sum(saved.get(name, 0) for name in fused), min(least, all_bytes))


def teacher_time(load: Load, length: int, gpu: Gpu) -> Compute:
    """The time of the teacher's forward passes in a step: their products, a third of the memory traffic of a forward and
    backward pass, and the loss over both models' logits. None of this has been measured."""
    teacher = load.teaching
    if teacher is None:
        return Compute()
    passes, blocks = load.accumulation, teacher.layers
    tokens = load.sequences * load.answers * length * passes
    moved = BLOCK_BYTES * teacher.hidden_size * blocks / 3 + HEAD_BYTES * teacher.shape.vocab_size
    return Compute(
        matrices_s=forward_flops(teacher) * tokens / (gpu.tflops * 1e12 * gpu.matrix_share),
        attention_s=attention_flops(teacher, length) * tokens / (gpu.tflops * 1e12 * gpu.attention_share),
        memory_s=moved * tokens / (gpu.memory_gb_s * 1e9),
        launch_s=passes * blocks * PASS_S / 3,
        started_s=passes * blocks * BLOCK_OPERATIONS * OPERATION_S,
    )


def forward_flops(load: Load) -> float:
    """FLOPs of a forward pass's products for one token: 2 per weight that the token uses."""
    return 2 * (block_parameters(load, visited=True) + load.table)


def adapter_bytes(load: Load) -> float:
    """Bytes per token that a block's adapters read and write in a forward pass, without their two products; the backward pass
    takes 1.5 times that.

    fp32 adapters cast their input to fp32, of which autocast makes a bf16 copy; dropout reads and writes it and a mask. The
    second product is written, scaled, and added to the layer's result. bf16 adapters, over 4-bit weights and under DeepSpeed,
    need no cast; they count the same, so that no choice between the two depends on a figure that nobody has measured.
    Source: peft 0.21's lora/layer.py, counted by operation. Not measured.
    """
    if load.adapter is None:
        return 0.0
    cast = 12 if load.bf16 and not load.pure_bf16 else 0
    dropped = (9 if cast else 5) if load.adapter.dropout else 0
    layers = [load.counts.linears[name] for name in adapted_layers(load)]
    return sum((cast + dropped) * rows + 12 * columns for rows, columns in layers)


def block_operations(load: Load) -> float:
    """Operations that PyTorch starts in a block's forward pass."""
    if load.adapter is None:
        return BLOCK_OPERATIONS
    four_bit = FOUR_BIT_OPERATIONS * len(load.counts.linears) if load.adapter.four_bit else 0
    return BLOCK_OPERATIONS + ADAPTER_OPERATIONS * len(adapted_layers(load)) + four_bit


def generate_time(load: Load, gpu: Gpu) -> float:
    """The time that a GPU generates in a step: a forward pass over the prompts, and for each token of the longest answer a
    forward pass that reads all weights and half of the final cache.

    fp32 weights are read and cast for every token. Answers count with their full length. The time of a server
    is not estimated, nor that of vLLM in the ranks. None of this has been measured.
    """
    if not load.generated or not load.generates_here:
        return 0.0
    bytes_s, blocks = gpu.memory_gb_s * 1e9, block_parameters(load)
    prompts = load.sequences * load.accumulation * max(load.length - load.generated, 1)
    reading_s = 2 * block_parameters(load, visited=True) * prompts / (gpu.tflops * 1e12 * gpu.matrix_share)
    read = blocks * (8 if load.autocast and load.adapter is None and load.casts_each else load.width)
    read += cache_bytes(load, load.length) / 2
    token_s = read / bytes_s + load.layers * DECODE_S
    if load.adapter is not None and load.adapter.four_bit:
        token_s += blocks * UNPACK_BYTES / (bytes_s * UNPACK_SHARE)
    return reading_s + load.generated * token_s


def step_flops(load: Load, length: int) -> float:
    """FLOPs for one token, forward and backward: of the matrices, and of causal attention over `length` tokens; with a teacher
    those of its forward pass too."""
    teacher = load.teaching
    taught = forward_flops(teacher) + attention_flops(teacher, length) if teacher else 0
    own = attention_flops(load, length) * (3 + int(load.checkpointing) + load.extra_passes)
    return matrix_flops(load) + own + taught


def matrix_flops(load: Load) -> float:
    """FLOPs of all products with weights for one token, forward and backward.

    The forward pass costs 2 per weight. The backward pass costs the same for the gradient of the inputs, and the same again for
    the gradient of trained weights. Checkpointing repeats the blocks' forward pass, and the fused head repeats its own. Each of
    the method's extra passes costs one forward pass.
    Source: Kaplan et al. (arXiv 2001.08361), section 2.1; trl 1.16.
    """
    table = (load.scores or load.shape.vocab_size) * load.shape.hidden_size
    blocks = block_parameters(load, visited=True)
    passes = (2 if load.adapter else 3) * 2 * blocks
    head = (3 if load.adapter else 4) * 2 * table
    adapter = 6 * load.trained if load.adapter else 0
    again = 2 * blocks if load.checkpointing else 0
    if load.tiled_share < 1:  # each tile is computed once more in its backward pass
        again += 2 * 3 * load.hidden_size * load.shape.intermediate_size * load.layers
    return passes + head + adapter + again + load.extra_passes * 2 * (blocks + table)


def attention_flops(load: Load, length: int) -> float:
    """FLOPs of one forward pass of causal attention for one token: 2 * length * width of the heads in each block,
    less in a window, and nothing in linear attention.

    Source: Korthikanti et al. (arXiv 2205.05198), appendix A, without the masked half.
    """
    shape = load.shape
    return 4 * attention_width(shape) * seen_tokens(shape, length)


def block_parameters(load: Load, visited: bool = False) -> float:
    """Weights of all blocks; with `visited`, of a mixture of experts only those that one token uses."""
    shape = load.shape
    table = shape.vocab_size * shape.hidden_size
    blocks = load.parameters - table * (1 if shape.tie_word_embeddings else 2)
    if visited and shape.num_experts:
        unused = 1 - (shape.num_experts_per_tok or 2) / shape.num_experts
        blocks -= parameters_by_kind(shape).experts * unused
    return blocks
