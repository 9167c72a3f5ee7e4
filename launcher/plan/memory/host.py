"""Bytes of host memory on one node, and of a checkpoint on disk."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.optimizer import master_bytes, state_bytes
from launcher.plan.memory.term import Term
from launcher.plan.memory.weights import frozen_bytes, sharded_weight_bytes

PROCESS = 2 << 30
"""Memory of a rank's process with the training stack and CUDA loaded. Unverified: an assumption of this project."""
_FILE = 5_000_000_000  # bytes of one file of weights on the hub


def host_bytes(load: Load) -> float:
    """Host memory of one node: each rank's process, and the larger of what loading needs and what is offloaded.

    Every rank loads the whole model in its training format (fp32, frozen weights in bf16) before it moves to the GPU or is
    sharded. ZeRO-3 loads shards. 4-bit weights move to the GPU file by file; with FSDP2 they stay on the host until they are
    sharded. The strategy offloads weights, gradients and optimizer state, and a paged optimizer moves its state to the host.
    Source: transformers 5.23's from_pretrained; Ren et al., ZeRO-Offload (arXiv 2101.06840), section 4. Unverified.
    """
    return load.gpus_per_node * (PROCESS + max(_loading_bytes(load), _offloaded_bytes(load)))


def checkpoint_bytes(load: Load) -> float:
    """Disk space of one checkpoint over all ranks: the trained weights in fp32 and the optimizer's state.

    Source: this project's checkpoint format (docs of the plugin sharded_checkpoint). Compared with a run on a CPU.
    """
    state = state_bytes(load, on_gpu=True) + state_bytes(load, on_gpu=False)
    return 4 * load.trained + state * load.degrees.shard_size


def _loading_bytes(load: Load) -> float:
    four_bit = load.adapter is not None and load.adapter.four_bit
    if load.acting.loads_shards:
        return sharded_weight_bytes(load) + _FILE
    if four_bit and not load.acting.four_bit_on_host:
        return _FILE
    return frozen_bytes(load) if load.adapter else 4 * load.parameters


def _offloaded_bytes(load: Load) -> float:
    strategy, paged = load.strategy, state_bytes(load, on_gpu=False)
    if not strategy.offloads:
        return paged
    shard = load.shard(load.trained_tensors)
    state = master_bytes(load) + state_bytes(load, on_gpu=True) + paged + shard * load.trained_width
    return state + (sharded_weight_bytes(load) if strategy.offload_param else 0)


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
