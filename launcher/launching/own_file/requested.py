"""What one file requests: its keys with their values, and the line of each."""

import dataclasses
from typing import Any

from launcher.launching.own_file.source import SourceFile

EXTENDS = "extends"

PLUGIN, PLUGINS = "plugin", "plugins"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key with its value."""

    key: str
    """Dotted, such as trainer.learning_rate."""
    value: Any
    source: SourceFile
    line: int
    free: bool = False
    """Whether the key is below a free-form mapping, so that the schema does not list it."""

    def fail(self, message: str) -> None:
        """Raises ConfigError about the setting."""
        self.source.fail(self.line, message)


@dataclasses.dataclass(slots=True, kw_only=True)
class FileSettings:
    """Everything that one file requests."""

    extends: Setting | None = None
    choices: dict[str, Setting] = dataclasses.field(default_factory=dict[str, Setting])
    """Group -> the file of that group which it takes, such as strategy -> zero3."""
    plugin_list: Setting | None = None
    """The whole list of plugins, if `plugin: [...]` gives it."""
    plugins: dict[str, Setting] = dataclasses.field(default_factory=dict[str, Setting])
    """Plugin -> True if the file names it under `plugins`, False if the file turns it off."""
    values: dict[str, Setting] = dataclasses.field(default_factory=dict[str, Setting])
    """Dotted key -> its value, in the order of the file."""
