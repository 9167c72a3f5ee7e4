"""What a probe of a site has found: values for its cluster file, and facts that a person should know."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFact:
    """One fact of a site, with the way in which it is known."""

    what: str
    """Short name of the fact, such as `Slurm` or `GPUs of a node`."""
    value: str | int | float | bool | None
    """The value; None if it could not be determined."""
    how: str
    """Source of the value: the command that printed it."""
    key: str | None = None
    """Key of the cluster group that the value belongs to; None for a fact without a key."""
    note: str = ""
    """What the fact means for a run; empty for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition of a site."""

    name: str
    is_default: bool
    available: bool
    time_limit: str
    """The longest time of a job, in Slurm's spelling."""
    nodes: int
    cpus: int
    """Cores of its smallest node."""
    memory_gib: int
    """Memory of its smallest node, in GiB."""
    gpus: dict[str, int]
    """Type of GPU, empty for none, -> number in a node."""
    gres: tuple[str, ...] = ()
    """Its other generic resources, such as nvme:1600."""
    features: tuple[str, ...]
    """Features for cluster.sbatch.constraint."""
