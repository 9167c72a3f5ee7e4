"""How long a rank may stay in a phase: floors, and what this run has shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Before a run has shown anything. A first step may compile; a load reads hundreds of GiB from a busy file system; a saver
# gives up by itself before its phase is silent; an export of a large model is loaded back and compared.
FLOOR_S: Mapping[str, float] = {
    "start": 300.0,
    "import": 600.0,
    "load": 3600.0,
    "data": 3600.0,
    "first step": 1800.0,
    "step": 1800.0,
    "eval": 3600.0,
    "save": 1800.0,
    "export": 14_400.0,
}
_LEARNS = ("step", "eval")
"""Not a save: most are short, and the one that waits for a slow disk, or for the last write, is not."""
_FACTOR = 10.0
"""A phase is silent when it takes so many times its longest."""
_ENOUGH = 5
"""Steps until their longest says something."""


@dataclass
class HangLimits:
    """Longest seen seconds of each phase, and how often it was seen."""

    step_floor_s: float
    save_floor_s: float = 0.0
    """Longer than the saver itself waits for its disk."""
    longest: dict[str, float] = field(default_factory=dict[str, float])
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, phase: str, seconds: float, times: int = 1) -> None:
        """A phase went on after so many seconds."""
        self.longest[phase] = max(seconds, self.longest.get(phase, 0.0))
        self.seen[phase] = self.seen.get(phase, 0) + times

    def limit_s(self, phase: str) -> float:
        """Seconds of silence after which a rank in this phase hangs."""
        if phase == "save":
            return max(FLOOR_S[phase], self.save_floor_s)
        if phase not in _LEARNS or self.seen.get(phase, 0) < _ENOUGH:
            return max(FLOOR_S.get(phase, 1800.0), _FACTOR * self.longest.get(phase, 0.0))
        return max(self.step_floor_s, _FACTOR * self.longest[phase])
