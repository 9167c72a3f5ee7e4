"""The number of ranks, and how many sequences each of them trains on."""

from launcher.errors import PlanError
from launcher.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Topology:
    """Nodes and ranks: world_size = nodes * gpus_per_node."""

    nodes: int
    """Number of nodes that train."""
    gpus_per_node: int
    """Ranks of a node."""

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.nodes * self.gpus_per_node


@frozen_dataclass
class Batch:
    """Sequences per step: global = micro * accumulation * data_parallel_size."""

    global_batch_size: int
    """Sequences per optimizer step, over all ranks."""
    micro_batch_size: int
    """Sequences per rank in one forward pass."""
    gradient_accumulation_steps: int
    """Forward and backward passes of a rank per optimizer step."""


def make_topology(nodes: int, gpus_per_node: int, gpus_on_a_node: int | None, cuda: bool) -> Topology:
    """The requested topology; PlanError if a node does not have that many GPUs.

    `gpus_on_a_node` is the value of the cluster file, None if it has none. It does not limit the number of CPU ranks.
    """
    for key, value in (("nodes", nodes), ("gpus_per_node", gpus_per_node)):
        if value < 1:
            raise PlanError(f"resources.{key}={value} must be at least 1")
    if cuda and gpus_on_a_node is not None and gpus_per_node > gpus_on_a_node:
        total = nodes * gpus_per_node
        more_nodes = -(-total // gpus_on_a_node) if gpus_on_a_node else 0
        way_out = (
            f"resources.nodes={more_nodes} resources.gpus_per_node={gpus_on_a_node}"
            if gpus_on_a_node
            else "resources.device=cpu"
        )
        raise PlanError(
            f"resources.gpus_per_node={gpus_per_node} is more than cluster.gpus_per_node={gpus_on_a_node}, "
            f"the GPUs that a node has; use {way_out}"
        )
    return Topology(nodes=nodes, gpus_per_node=gpus_per_node)


def make_batch(global_batch_size: int, micro_batch_size: int, data_parallel_size: int) -> Batch:
    """The batch with its accumulation steps; PlanError names the two nearest global batch sizes that work.

    `data_parallel_size`: number of ranks, or groups of ranks, that take different sequences.
    """
    for key, value in (("global_batch_size", global_batch_size), ("micro_batch_size", micro_batch_size)):
        if value < 1:
            raise PlanError(f"batch.{key}={value} must be at least 1")
    per_pass = micro_batch_size * data_parallel_size
    accumulation, rest = divmod(global_batch_size, per_pass)
    if rest or not accumulation:
        below, above = accumulation * per_pass, (accumulation + 1) * per_pass
        work = f"{below} or {above}" if below else f"{above} or {above + per_pass}"
        work += _other_ways(global_batch_size, micro_batch_size, data_parallel_size)
        raise PlanError(
            f"batch.global_batch_size={global_batch_size} is not a multiple of batch.micro_batch_size * "
            f"data_parallel_size = {micro_batch_size} * {data_parallel_size} = {per_pass}; use {work}"
        )
    return Batch(
        global_batch_size=global_batch_size,
        micro_batch_size=micro_batch_size,
        gradient_accumulation_steps=accumulation,
    )


def divisors(number: int) -> list[int]:
    """All divisors of the number, in ascending order."""
    small = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def _other_ways(global_batch_size: int, micro_batch_size: int, data_parallel_size: int) -> str:
    """Text with a setting that keeps the global batch: another micro-batch on the same ranks, else fewer ranks."""
    micro = [
        size
        for size in range(1, global_batch_size // data_parallel_size + 1)
        if global_batch_size % (size * data_parallel_size) == 0
    ]
    if micro:
        best = min(micro, key=lambda size: abs(size - micro_batch_size))
        return f", or keep it with batch.micro_batch_size={best}"
    fewer = [
        ranks for ranks in range(1, data_parallel_size) if global_batch_size % (ranks * micro_batch_size) == 0
    ]
    return f", or keep it with {fewer[-1]} rank{'s' if fewer[-1] > 1 else ''}" if fewer else ""
