"""What the supervisor gives an attempt."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from launcher.supervise.policy import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """One attempt: its number, its folder, and what its leader must know."""

    number: int
    folder: str
    """Under logs/."""
    blamed: Iterable[str]
    """Hosts to use only where there are no others."""
    why_told: Callable[[int], tuple[Told, float]]
    """Signal -> why the job must end, and in how many seconds at most."""
