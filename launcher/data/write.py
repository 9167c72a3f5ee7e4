"""Common forms -> rows of a named format. What a format cannot hold is refused and never dropped silently."""

from typing import Any

from launcher.data.kinds import SPOKEN, Example, kind_of, to_chat
from launcher.data.rules import BrokenRow
from launcher.errors import ConfigError, unknown
from launcher.formats.base import Format, Writer
from launcher.formats.registry import known_formats, own_format


def targets() -> tuple[str, ...]:
    """Every name that `data convert --to` takes."""
    return tuple(known_formats().writers)


def format_of(name: str) -> Format:
    """The format that writes rows under this name; ConfigError for an unknown name."""
    return _writer(name)[0]


def write_row(example: Example, name: str) -> dict[str, Any]:
    """The row as `name` spells it; BrokenRow where that format has no place for something in it."""
    target, write = _writer(name)
    kind = kind_of(example)
    if kind not in target.writes:
        held = " or ".join(f"{SPOKEN[one]}s" for one in target.writes)
        raise BrokenRow(
            "format",
            f"a {SPOKEN[kind]} cannot be written as {name}: only {held} can; use --to {own_format(kind)}",
        )
    if not target.from_chat:
        return write(example)
    if not example.get("label", True):
        raise BrokenRow(
            "format", f"{name} cannot hold that an answer is a bad one; use --to {own_format(kind)}"
        )
    return write(to_chat(example))


def _writer(name: str) -> tuple[Format, Writer]:
    found = known_formats().writers.get(name)
    if found is None:
        raise ConfigError(f"--to {name}: {unknown('row format', name, targets())}")
    return found
