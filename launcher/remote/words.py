"""The command line on the cluster that corresponds to the one that was typed here."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from launcher.launching.own_file.expand import OPTION, expand
from launcher.launching.own_file.write import in_grammar

_CONFIG_DIR = ("--config-dir", "-cd")
_OURS = ("cluster.ssh", "cluster.ssh_dir", "cluster.python", "runs_dir")
Place = Callable[[Path], str | None]
"""File of this machine -> its path in the copy of the working folder; None for a file that is not in it."""


def overrides_there(
    typed: Sequence[str], values: Mapping[str, Any], config_dir: str | None, place: Place
) -> list[str]:
    """The overrides with these values, and with the path of the copied --config-dir. A tuple has the values of a sweep.

    A file of --config is passed on if it, and the files that it extends, are in the copy of the working folder; otherwise its
    content becomes overrides.
    """
    kept = _with_config_dir(_with_file(typed, place), config_dir)
    rest = [word for word in kept if _key(word) not in (*values, *_OURS)]
    return [*rest, *(f"{_plus(key)}{key}={_written(value)}" for key, value in values.items())]


def _written(value: Any) -> str:
    return (
        ",".join(map(in_grammar, cast("tuple[Any, ...]", value)))
        if isinstance(value, tuple)
        else in_grammar(value)
    )


def _plus(key: str) -> str:
    return "++" if key.startswith("plugins.") else ""


def _key(word: str) -> str | None:
    found = re.match(r"\+{0,2}([A-Za-z_][\w.\-]*)=", word)
    return found[1] if found else None


def _with_file(typed: Sequence[str], place: Place) -> list[str]:
    expanded = expand(typed)
    places = [place(source.path) for source in expanded.sources]
    if not expanded.sources or None in places:
        return expanded.arguments
    words = list(typed)
    at = next(at for at, word in enumerate(words) if word.partition("=")[0] == OPTION)
    return [*words[:at], OPTION, str(places[0]), *words[at + (1 if "=" in words[at] else 2) :]]


def _with_config_dir(words: Sequence[str], config_dir: str | None) -> list[str]:
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in _CONFIG_DIR:
            found.append(word)
            continue
        if not equals:
            next(rest, None)
        if config_dir:
            found += ["--config-dir", config_dir]
    return found


def flags_of(words: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The arguments that are options of the verb."""
    left = list(overrides)
    flags: list[str] = []
    for word in words:
        if word in left:
            left.remove(word)
        else:
            flags.append(word)
    return flags
