"""What the supervisor gives an attempt."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from launcher.supervise.policy import StopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """One attempt: its number, its folder, and what its leader must know."""

    number: int
    folder: str
    """Under logs/."""
    blamed: Iterable[str]
    """Hosts to use only where there are no others."""
    explain_signal: Callable[[int], tuple[StopReason, float]]
    """Signal -> why the job must end, and in how many seconds at most."""
