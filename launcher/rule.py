"""A combination of settings that is known not to work; the general list and the specs of variants contain such rules."""

from collections.abc import Callable
from typing import Any, TypedDict

from launcher.frozen_dataclass import frozen_dataclass

TRAINER = "{trainer}"
"""The placeholder in `what` for the name of the training method."""


class RuleRow(TypedDict):
    """A combination of settings that is known not to work."""

    number: int
    """The rule's number, as a refusal names it."""
    what: str
    """The combination, described by its keys."""
    reason: str
    """What goes wrong, with the version in which it was seen."""
    way_out: str
    """What to set instead of it."""


@frozen_dataclass
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
    values: Callable[[Any], str] | None = None
    """The values by which a Combination breaks it, as words for the refusal; None if `what` has them all."""
    methods: Callable[[Any], bool] | None = None
    """Whether the rule applies to a training method, given its spec; None: it applies to all."""

    def row(self) -> RuleRow:
        """The rule as `rules --json` prints it."""
        return {
            "number": self.number,
            "what": self.what,
            "reason": self.reason,
            "way_out": self.way_out,
        }
