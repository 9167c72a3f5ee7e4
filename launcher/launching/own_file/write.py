"""The values of a file of one's own as text: with keys and comments in YAML, and in the grammar of Hydra's overrides.

Source of the grammar: Hydra 1.3's manual, "Basic Override syntax".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.errors import ConfigError

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.\-]*")
_WORDS = frozenset({"null", "true", "false", "nan", "inf", "on", "off", "yes", "no"})
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the file."""

    key: str
    """Dotted, such as trainer.learning_rate."""
    value: Any
    comment: str = ""


def to_text(head: Sequence[str], entries: Sequence[Entry], tail: Sequence[str] = ()) -> str:
    """The file: comment lines, nested keys in the order of their groups' first mention, comment lines."""
    tree: dict[str, Any] = {}
    for entry in entries:
        *groups, last = entry.key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = entry
    lines = [
        *(f"# {line}".rstrip() for line in head),
        *_lines(tree, ""),
        *(f"# {line}".rstrip() for line in tail),
    ]
    return "\n".join(lines) + "\n"


def write_new(path: Path, text: str) -> None:
    """Writes the file; ConfigError if it exists, or if its folder cannot be written to."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists and is not overwritten; give another name with -o") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); give another name with -o") from None


def in_yaml(value: Any) -> str:
    """A value on one line, which YAML reads back as the same value."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _lines(tree: Mapping[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, node in tree.items():
        name = in_yaml(key)
        if isinstance(node, Entry):
            comment = f"  # {node.comment}" if node.comment else ""
            lines.append(f"{indent}{name}: {in_yaml(node.value)}{comment}")
        else:
            lines += [f"{indent}{name}:", *_lines(cast("dict[str, Any]", node), f"{indent}  ")]
    return lines


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
