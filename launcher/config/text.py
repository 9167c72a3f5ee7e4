"""Text of the configuration that is written into scripts."""

from launcher.errors import PlanError


def one_line(key: str, value: str) -> str:
    """`value` itself; PlanError when it holds a newline or another control character."""
    if any(not character.isprintable() for character in value):
        raise PlanError(f"{key}={value!r} holds a newline or control character; use one line of plain text")
    return value
