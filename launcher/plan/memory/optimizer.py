"""Bytes of optimizer state on one GPU, by optimizer, and the temporary memory of its step."""

from dataclasses import dataclass

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import ON_CPU_RANKS, Term
from launcher.strategies.base import size_of

SMALLEST_8BIT = 4096
"""Tensors with fewer elements keep 32-bit state. Source: bitsandbytes 0.50, optim/optimizer.py, min_8bit_size."""
SMALLEST_PAGED = 100_000
"""Tensors with fewer elements are never paged. Source: the same file, get_state_buffer."""
_CODE = 256 * 4  # bytes of the table of 8-bit values, one for each moment


@dataclass(frozen=True, slots=True)
class Kind:
    """One optimizer."""

    moments: int
    """Values that it keeps per trained parameter."""
    bits: int = 32
    paged: bool = False
    """Whether the state is in memory that CUDA moves to the host when the GPU is full."""
    factored: bool = False
    """Whether it keeps a row and a column instead of a matrix."""
    foreach: bool = False
    """Whether its step makes one more value per trained parameter, in the format of the moments."""
    of_largest: int = 0
    """fp32 values per parameter of the largest tensor that its step makes, one tensor after the other."""
    of_matrices: int | None = None
    """Values that it keeps per parameter of a hidden layer's matrix, if not as many as of others. Its step makes 3 fp32 values
    per parameter of the largest one, which every rank gathers whole."""


OPTIMIZERS = {
    "adamw_torch": Kind(2, foreach=True),
    "adamw_torch_fused": Kind(2),
    "adamw_8bit": Kind(2, 8),
    "adamw_bnb_8bit": Kind(2, 8),
    "paged_adamw_32bit": Kind(2, paged=True),
    "paged_adamw_8bit": Kind(2, 8, paged=True),
    "lion_32bit": Kind(1),
    "lion_8bit": Kind(1, 8),
    "paged_lion_32bit": Kind(1, paged=True),
    "paged_lion_8bit": Kind(1, 8, paged=True),
    "adafactor": Kind(1, factored=True, of_largest=2),
    "sgd": Kind(0),
    "muon": Kind(2, of_largest=2, of_matrices=1),
}
"""Values of trainer.optim for which memory is estimated, in transformers' spelling."""


def optimizer_bytes(load: Load) -> float:
    """Optimizer state on the GPU, and DeepSpeed's fp32 master copy; both are sharded from ZeRO-1 on and under FSDP2.

    AdamW keeps two fp32 moments and Lion one. In 8 bits a moment has one byte per value and one fp32 per 256 values, except for
    the embedding's, which are fp32. Paged state counts on the host, where it is when the GPU is full. Adafactor keeps a row and
    a column of each matrix, but every value of DeepSpeed's flat shards. Muon keeps one moment of a hidden layer's matrix, and
    AdamW's two of the rest. Moments have their weights' format: bf16 for adapters over 4-bit weights.
    Source: ZeRO (arXiv 1910.02054), section 5.1; Dettmers et al. (arXiv 2110.02861), sections 2 and 2.3; Shazeer and Stern
    (arXiv 1804.04235), section 4. Equal to the byte to ranks on a CPU; paging unverified.
    """
    if load.strategy.offload_optimizer or (load.strategy.offload_param and load.shards_weights):
        return 0
    return master_bytes(load) + state_bytes(load, on_gpu=True)


def master_bytes(load: Load) -> float:
    """Bytes of DeepSpeed's fp32 copy of the rank's share of the trained parameters."""
    return 4 * _elements(load) if load.acting.flat_copy else 0


def state_bytes(load: Load, *, on_gpu: bool) -> float:
    """Bytes of the optimizer's own state: the part on the GPU, or the part that is paged to the host."""
    kind = OPTIMIZERS[load.optimizer]
    flat = load.acting.flat_copy
    tensors = [((_elements(load),), 1)] if flat else load.trained_tensors
    ranks = 1 if flat else load.shard_size
    total = 0.0
    for dims, count in tensors:
        rows = -(-dims[0] // ranks)
        size = rows
        for dim in dims[1:]:
            size *= dim
        paged = kind.paged and size >= SMALLEST_PAGED
        if paged == on_gpu:
            continue
        own = Kind(kind.of_matrices) if kind.of_matrices is not None and _is_hidden(load, dims) else kind
        total += count * _tensor_bytes(own, (rows, *dims[1:]), size)
        if kind.bits == 8 and dims == (load.shape.vocab_size, load.shape.hidden_size):
            total += kind.moments * 4 * size - _tensor_bytes(kind, dims, size)  # the embedding
    total += kind.moments * _CODE if kind.bits == 8 and on_gpu and total else 0
    halved = kind.bits == 32 and not flat and load.trained_width == 2
    return total / 2 if halved else total


def step_bytes(load: Load) -> float:
    """Temporary memory of the optimizer's step, after activations are freed: torch's foreach AdamW makes one more value per
    trained parameter, in its format. Adafactor makes the squares of a gradient and its update, one tensor after the other, and
    for bf16 adapters also fp32 copies. Muon makes the update of a whole matrix in fp32 and bf16, its orthogonalized form, and
    two products with itself; the AdamW that trains the other tensors makes the squares and the update of the largest of them.
    bitsandbytes' kernels update in place.

    DeepSpeed makes fp32 gradients of its shard; ZeRO-3 steps in sub-groups of 1e9 elements.
    Source: torch's AdamW page (foreach), transformers 5.23's Adafactor, bitsandbytes 0.50's optimizer.py, DeepSpeed 0.19.8's
    stage_1_and_2.py and stage3.py. AdamW, adafactor and sgd: lifetimes on a fake CUDA device; of bitsandbytes unverified.
    """
    if load.strategy.offloads:
        return 0
    kind, elements = OPTIMIZERS[load.optimizer], _elements(load)
    made = 4 * kind.of_largest * _largest(load, elements)
    if kind.of_matrices is not None:
        hidden = [size_of(dims) for dims, _ in load.trained_tensors if _is_hidden(load, dims)]
        others = [load.shard([(dims, 1)]) for dims, _ in load.trained_tensors if not _is_hidden(load, dims)]
        made = max(4 * 3 * max(hidden, default=0), 4 * kind.of_largest * max(others, default=0))
    elif kind.of_largest and load.trained_width == 2 and not load.acting.flat_copy:
        made *= 2  # the gradient and the weights are cast as well
    return load.acting.step_bytes(load, elements, kind.foreach) + made


def _is_hidden(load: Load, dims: tuple[int, ...]) -> bool:
    """Whether it is a matrix of a hidden layer: neither a stack of matrices, nor the embedding or a head."""
    heads = ((load.shape.vocab_size, load.hidden_size), (load.scores, load.hidden_size))
    return len(dims) == 2 and dims not in heads


def orthogonal_flops(load: Load) -> float:
    """FLOPs of Muon's step on one rank, which computes all matrices: in each of 5 iterations on m x n, m <= n, the product with
    itself, its square, and the product of both: 4 m^2 n + 2 m^3. 0 for other optimizers.

    Source: torch 2.13, optim/_muon.py. Unverified on a GPU.
    """
    if OPTIMIZERS.get(load.optimizer, Kind(0)).of_matrices is None:
        return 0
    matrices = [(sorted(dims), count) for dims, count in load.trained_tensors if _is_hidden(load, dims)]
    return sum(count * 5 * (4 * m * m * n + 2 * m**3) for (m, n), count in matrices)


def _largest(load: Load, elements: int) -> int:
    """Parameters of the largest tensor that this rank's optimizer updates at once."""
    if load.acting.flat_copy:
        return elements
    return max((load.shard([(dims, 1)]) for dims, _ in load.trained_tensors), default=0)


def _elements(load: Load) -> int:
    """Number of trained parameters that this rank's optimizer updates."""
    return load.trained if load.acting.replicates else load.shard(load.trained_tensors)


def _tensor_bytes(kind: Kind, dims: tuple[int, ...], size: int) -> float:
    if kind.factored:
        return 4 * (size // dims[-1] + size // dims[-2]) if len(dims) > 1 else 4 * size
    if kind.bits == 8 and size >= SMALLEST_8BIT:
        return kind.moments * (size + 4 * -(-size // 256))
    return kind.moments * 4 * size


OPTIMIZER = Term(
    name="optimizer",
    count=lambda load, before: optimizer_bytes(load),
    formulas=(optimizer_bytes,),
    shown_by=f"{ON_CPU_RANKS}; paging unverified",
)
