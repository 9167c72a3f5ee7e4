"""Values in the grammar of Hydra's overrides. Source: Hydra 1.3's manual, "Basic Override syntax"."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from launcher.errors import ConfigError

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.\-]*")
_WORDS = frozenset({"null", "true", "false", "nan", "inf", "on", "off", "yes", "no"})
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")


def in_grammar(value: Any) -> str:
    """The value as an override writes it; text is quoted unless it is one plain word."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return "{" + ",".join(f"{_key(str(key))}:{in_grammar(one)}" for key, one in pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(in_grammar(one) for one in cast("Sequence[Any]", value)) + "]"
    text = str(value)
    return text if _BARE.fullmatch(text) and text.lower() not in _WORDS else quoted(text)


def quoted(text: str) -> str:
    """The text in quotes. Only a backslash before a quote is special in them."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ConfigError(f"{text!r} cannot be a key inside a list; use letters, digits, _ and -")
    return text
