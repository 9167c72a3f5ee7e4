"""A combination of settings that is known not to work, as the general list and the specs of variants state it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TRAINER = "{trainer}"
"""Stands in `what` for the name of the training method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One combination that does not work."""

    number: int
    """Unique over all rules of this project; a number is never given to another rule."""
    what: str
    """The combination, by the keys that make it. `{trainer}` stands for the training method where `methods` is set."""
    reason: str
    """What happens, with the version in which it was seen."""
    way_out: str
    broken: Callable[[Any], bool]
    """Whether a launcher.plan.rules.Combination is this one."""
    methods: Callable[[Any], bool] | None = None
    """Which training methods the rule is about, by their spec; None: all of them."""

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values."""
        return {name: getattr(self, name) for name in ("number", "what", "reason", "way_out")}
