"""A combination of settings that is known not to work; the general list and the specs of variants contain such rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TRAINER = "{trainer}"
"""The placeholder in `what` for the name of the training method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One combination that does not work."""

    number: int
    """Unique over all rules of this project; the number of a removed rule is never used again."""
    what: str
    """The combination, described by its keys. `{trainer}` is the placeholder for the training method if `methods` is set."""
    reason: str
    """What goes wrong, with the version in which it was seen."""
    way_out: str
    broken: Callable[[Any], bool]
    """Whether a launcher.plan.rules.Combination breaks this rule."""
    methods: Callable[[Any], bool] | None = None
    """Whether the rule applies to a training method, given its spec; None: it applies to all."""

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain JSON values."""
        return {name: getattr(self, name) for name in ("number", "what", "reason", "way_out")}
