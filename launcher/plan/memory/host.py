"""Bytes of host memory on one node, and of a checkpoint on disk."""

from launcher.plan.memory.activations import activation_bytes
from launcher.plan.memory.load import Load
from launcher.plan.memory.optimizer import master_bytes, state_bytes
from launcher.plan.memory.term import Term
from launcher.plan.memory.weights import frozen_bytes, sharded_weight_bytes, weight_shards
from launcher.strategies.trained import size_of

PROCESS = 2 << 30
"""Memory of a rank's process with the training stack and CUDA loaded. Unverified: an assumption of this project."""
CHILD = 22 << 20
"""Memory of a process that a rank starts, such as that of a reward function that imports nothing. Measured once: 21.3 MiB
resident with Python 3.11. What a function imports and loads is not known and not counted: 56 MiB in all with sympy, 220 MiB
with torch."""
_FILE = 5_000_000_000  # bytes of one file of weights on the hub


def host_bytes(load: Load) -> float:
    """Host memory of one node: each rank's process and those that it starts, and the larger of two moments: loading, and
    training with saves.

    Every rank loads the whole model in its training format (fp32, frozen weights in bf16) before it moves to the GPU or is
    sharded; with strategy.cpu_ram_efficient_loading one rank of each node does. ZeRO-3 loads shards. 4-bit weights move to
    the GPU file by file; with FSDP2 they stay on the host until they are sharded. Offloaded weights are added while the whole
    ones are still there. A second model counts like the trained one, a teacher in its own size. In training the host holds
    offloaded weights, gradients, optimizer state and activations, paged state, and the copy of the trained state that a save
    takes. torch rounds pinned memory (the copy, and each offloaded weight and activation) up to powers of two.
    Source: transformers 5.23's from_pretrained; accelerate 1.15's fsdp2_prepare_model; torch 2.13's CachingHostAllocator.h; Ren
    et al., ZeRO-Offload (arXiv 2101.06840), section 4. Unverified.
    """
    ranks = load.gpus_per_node
    models = 2 if load.second_model else 1
    loading = (models * _loading_bytes(load) + _teacher_bytes(load)) * (1 if load.loads_once else ranks)
    if not load.acting.loads_shards:
        loading += models * ranks * _offloaded_weights(load)
    state = models * _offloaded_weights(load) + _offloaded_state(load)
    training = ranks * (state + _offloaded_activations(load) + snapshot_bytes(load))
    return ranks * (PROCESS + load.processes * CHILD) + max(loading, training)


def checkpoint_bytes(load: Load) -> float:
    """Disk space of one checkpoint over all ranks: the trained weights in fp32 and the optimizer's state.

    Source: this project's checkpoint format (docs of the plugin sharded_checkpoint). Compared with a run on a CPU.
    """
    state = state_bytes(load, on_gpu=True) + state_bytes(load, on_gpu=False)
    return 4 * load.trained + state * load.shard_size


def snapshot_bytes(load: Load) -> float:
    """Pinned memory of the copy that one rank takes of its part of a checkpoint; 0 without saves.

    A parameter that every rank holds is written by one of them, so that rank's part has at least the largest parameter.
    """
    if not load.saves:
        return 0
    whole = checkpoint_bytes(load)
    largest = max(size_of(dims) for dims, _ in load.trained_tensors) if load.acting.replicates else 0
    return pinned(max(whole / load.degrees.world_size, whole * largest / load.trained))


def pinned(size: float) -> float:
    """Bytes that torch allocates for one tensor in pinned memory: the next power of two."""
    return 1 << (max(int(size), 1) - 1).bit_length() if size else 0


def _loading_bytes(load: Load) -> float:
    """Bytes that a rank holds while it loads, without what is offloaded meanwhile."""
    four_bit = load.adapter is not None and load.adapter.four_bit
    if load.acting.loads_shards:
        return sharded_weight_bytes(load) + _FILE
    if four_bit and not load.acting.four_bit_on_host:
        return _FILE
    return frozen_bytes(load) if load.adapter else 4 * load.parameters


def _teacher_bytes(load: Load) -> float:
    """Bytes that a rank holds of the teacher while it loads it; they are added to the trained model's."""
    teacher = load.teaching
    if teacher is None:
        return 0
    share = load.shard(teacher.all_tensors) if load.acting.loads_shards else teacher.parameters
    return share * load.width


def _offloaded_weights(load: Load) -> float:
    """Pinned bytes of the rank's share of all weights, if they are kept on the host."""
    if not (load.strategy.offload_param and load.shards_weights):
        return 0
    return sum(pinned(size) * count for size, count in weight_shards(load))


def _offloaded_state(load: Load) -> float:
    """Bytes of gradients and optimizer state that the strategy keeps on the host, and of paged state."""
    paged = state_bytes(load, on_gpu=False)
    if not load.strategy.offloads:
        return paged
    gradients = load.shard(load.trained_tensors) * load.trained_width
    return master_bytes(load) + state_bytes(load, on_gpu=True) + paged + gradients


def _offloaded_activations(load: Load) -> float:
    """Pinned bytes of the activations of one forward pass, if these are offloaded; both widths of a block are rounded up."""
    if not load.offloads_activations:
        return 0
    widths = [load.width * size * load.tokens for size in (load.hidden_size, load.shape.intermediate_size)]
    return activation_bytes(load) * max(pinned(size) / size for size in widths)


HOST = Term(
    name="host",
    count=lambda load, before: host_bytes(load),
    formulas=(host_bytes,),
    shown_by="unverified",
)
CHECKPOINT = Term(
    name="checkpoint",
    count=lambda load, before: checkpoint_bytes(load),
    formulas=(checkpoint_bytes,),
    shown_by="a run on a CPU",
)
