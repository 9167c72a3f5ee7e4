"""What the leader gives to an attempt."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from launcher.supervise.policy import StopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """One attempt: its number, its log folder, and what its runner has to know of the job."""

    number: int
    """From 1, over all jobs of the run."""
    folder: str
    """Name of its folder below logs/."""
    blamed: Iterable[str]
    """Hosts to use only if there are no others."""
    explain_signal: Callable[[int], tuple[StopReason, float]]
    """Signal -> why the job must end, and how many seconds remain at most."""
