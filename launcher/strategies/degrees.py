"""The parallel degrees of a run: how many ranks share one thing, for each kind of parallelism."""

from dataclasses import dataclass

from launcher.errors import PlanError


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """The parallel degrees of a run. Their product, without `expert`, is the number of ranks.

    In the numbering of ranks `tensor` varies fastest, then `sequence`, then the two degrees of data parallelism.
    Source: torchtitan's parallel_dims.py, whose mesh has the same order.
    """

    dp_replicate: int = 1
    """Copies of the sharded state; each takes other samples."""
    dp_shard: int = 1
    """Ranks that take different samples and share one copy of the state."""
    sequence: int = 1
    """Ranks that share the tokens of one sequence."""
    tensor: int = 1
    """Ranks that share each matrix."""
    expert: int = 1
    """Ranks that share the experts of a layer; it divides the ranks of the other degrees and adds none."""
    hpz: int = 1
    """Ranks that share a second copy of the weights (ZeRO-3); it divides the ranks that shard and adds none."""

    @property
    def world_size(self) -> int:
        """Number of all ranks."""
        return self.dp_replicate * self.dp_shard * self.sequence * self.tensor

    @property
    def data_parallel_size(self) -> int:
        """Ranks, or groups of ranks, that take different samples: world_size / (sequence * tensor)."""
        return self.dp_replicate * self.dp_shard

    @property
    def shard_size(self) -> int:
        """Ranks over which weights, gradients and optimizer state are sharded.

        Ranks that share a sequence hold the same weights, so the state is sharded over them too.
        Source: torchtitan's dp_shard_cp mesh; DeepSpeed 0.19.8 shards over sequence_data_parallel_group.
        """
        return self.dp_shard * self.sequence

    def data_parallel_rank(self, rank: int) -> int:
        """The position of a rank among those that take different samples, from 0."""
        return rank // (self.sequence * self.tensor)


def check_divisor(key: str, size: int, groups: int, world_size: int) -> None:
    """PlanError if a degree other than 1 (strategy.KEY) does not divide the ranks, or the groups of them that share a sequence,
    or leaves nothing to divide."""
    if size == 1 or (0 < size < world_size and groups % size == 0):
        return
    works = [number for number in range(1, world_size) if groups % number == 0]
    what = f"ranks, {groups}, and be less than it"
    if groups < world_size:
        what = f"groups of ranks that share a sequence, {groups}"
    raise PlanError(f"strategy.{key}={size} must divide the number of {what}; use {_either(works or [1])}")


def sequence_groups(world_size: int, sequence_parallel_size: int) -> int:
    """Groups of ranks that share a sequence; PlanError if strategy.sequence_parallel_size does not divide the ranks."""
    if sequence_parallel_size >= 1 and world_size % sequence_parallel_size == 0:
        return world_size // sequence_parallel_size
    work = [size for size in range(1, world_size + 1) if world_size % size == 0]
    raise PlanError(
        f"strategy.sequence_parallel_size={sequence_parallel_size} must divide the number of ranks, {world_size} "
        f"(resources.nodes * resources.gpus_per_node); use {_either(work)}, or another number of ranks"
    )


def _either(numbers: list[int]) -> str:
    """The numbers as words, the first few of many."""
    shown = numbers[:8]
    return " or ".join(filter(None, [", ".join(map(str, shown[:-1])), str(shown[-1])]))
