"""How long a rank may stay in a phase before it counts as hung: a floor, and what this run has shown."""

from dataclasses import dataclass, field

from launcher.timeouts import HANG_FLOORS_S, OTHER_HANG_FLOOR_S

_LEARNED_PHASES = ("step", "eval")
"""Phases whose limit falls below the floor once their length is known. Not a save: most saves are short, but one that waits
for a slow disk is not."""
_FACTOR = 10.0
"""The limit of a phase is the longest time that it has taken, times this."""
_ENOUGH = 5
"""Times that a phase must have been seen before its length is known."""


@dataclass
class HangLimits:
    """The limit of each phase, by how long it has taken so far."""

    step_floor_s: float
    """resources.hang_timeout_s: for steps and evaluations once their length is known."""
    save_floor_s: float = 0.0
    """For phase save, if it is more than the minimum."""
    longest: dict[str, float] = field(default_factory=dict[str, float])
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, phase: str, seconds: float, times: int = 1) -> None:
        """Records the seconds that a phase has taken, and with `times` how often it was seen."""
        self.longest[phase] = max(seconds, self.longest.get(phase, 0.0))
        self.seen[phase] = self.seen.get(phase, 0) + times

    def limit_s(self, phase: str) -> float:
        """Seconds without progress after which a rank in this phase counts as hung."""
        if phase == "save":
            return max(HANG_FLOORS_S[phase], self.save_floor_s)
        if phase not in _LEARNED_PHASES or self.seen.get(phase, 0) < _ENOUGH:
            return max(HANG_FLOORS_S.get(phase, OTHER_HANG_FLOOR_S), _FACTOR * self.longest.get(phase, 0.0))
        return max(self.step_floor_s, _FACTOR * self.longest[phase])
