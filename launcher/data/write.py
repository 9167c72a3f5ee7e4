"""Writing common forms as rows of a named format. Values that the format cannot hold are refused, never dropped silently."""

from typing import Any

from launcher.data.findings import BrokenRow
from launcher.data.kinds import SPOKEN, Example, kind_of, to_chat
from launcher.errors import ConfigError, unknown
from launcher.formats.base import Format, Writer
from launcher.formats.registry import known_formats, own_format


def targets() -> tuple[str, ...]:
    """All values of `data convert --to`."""
    return tuple(known_formats().writers)


def format_of(name: str) -> Format:
    """The format that writes rows under this name; ConfigError for an unknown name."""
    return _writer(name)[0]


def write_row(example: Example, name: str) -> dict[str, Any]:
    """The example as a row of the format `name`; BrokenRow if that format cannot hold all of it."""
    target, write = _writer(name)
    kind = kind_of(example)
    if kind not in target.writes:
        held = " or ".join(f"{SPOKEN[one]}s" for one in target.writes)
        raise BrokenRow(
            "format",
            f"a {SPOKEN[kind]} cannot be written as {name}, which holds {held}; use --to {own_format(kind)}",
        )
    if not target.from_chat:
        return write(example)
    if not example.get("label", True):
        raise BrokenRow("format", f"{name} cannot mark an answer as bad; use --to {own_format(kind)}")
    return write(to_chat(example))


def _writer(name: str) -> tuple[Format, Writer]:
    found = known_formats().writers.get(name)
    if found is None:
        raise ConfigError(f"--to {name}: {unknown('row format', name, targets())}")
    return found
