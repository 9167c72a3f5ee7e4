"""What takes the place of another tool's setting here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_THE_SAME: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterpart:
    """What takes the place of another tool's setting here."""

    names: tuple[str, ...]
    """The other tools' names for it, with underscores. A dotted name is that of a key below a group."""
    key: str | None = None
    note: str = ""
    """What else is different, as the words after a comma."""
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    """The other tools' values, lower case, and what `key` is set to for each; a value that is not here is the same."""

    @property
    def plugin(self) -> str | None:
        """The plugin that must be chosen for the key to exist; None for a key that every run has."""
        return self.key.split(".")[1] if self.key and self.key.startswith("plugins.") else None

    @property
    def typed(self) -> str:
        """The key as it is typed, without a value; for a plugin that has no further setting, its choice."""
        if self.plugin is None:
            return self.key or "nothing to set"
        choice = f"'plugin=[{self.plugin}]'"
        return choice if self.key == f"plugins.{self.plugin}" else f"{self.key} with {choice}"

    def answer(self, name: str) -> str:
        """One sentence for somebody who has typed `name`."""
        return f"{name}: here {self.typed}" + (f", {self.note}" if self.note else "")


def same(names: str, key: str | None, note: str = "", values: Mapping[str, str] = _THE_SAME) -> Counterpart:
    """A counterpart of other tools' names, which are separated by spaces."""
    return Counterpart(names=tuple(names.split()), key=key, note=note, values=values)
