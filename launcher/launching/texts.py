"""Typed values of options that are texts for another program: they reach it as they were typed.

Hydra would read `partition=short,long` as a sweep and `account=12e4` as the number 120000.0.
"""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from launcher.errors import UsageError

_TEXT = re.compile(r"(\++)?(cluster\.(sbatch|srun|env)\.[\w.-]+|model\.(?:eos|pad)_token)=(.+)", re.DOTALL)
_SPECIAL = re.compile(r"(?i)true|false|null|['\"\[{].*|.*\$\{.*", re.DOTALL)
"""Values that keep Hydra's meaning: switches, quoted texts, lists, mappings and interpolations."""
_TOKENS = re.compile(r"(\+*model\.added_tokens=)\[(.*)\]", re.DOTALL)
_SWEEPS = frozenset(["-m", "--multirun"])


def check_words(arguments: Sequence[str]) -> None:
    """UsageError for an argument without a key, such as `=`, `=3` or an empty one."""
    for word in arguments:
        if re.match(r"[+~]*(=|$)", word):
            raise UsageError(f"{word or 'an empty argument'!s} has no key; write KEY=VALUE, or take it out")


def as_typed(arguments: list[str]) -> list[str]:
    """The arguments, with the values of these options quoted. In a multirun a comma in cluster.env stays a sweep."""
    swept = not _SWEEPS.isdisjoint(arguments)
    return [_quoted(argument, swept) for argument in arguments]


def with_home(argument: str) -> str:
    """The argument with the home folder for a ~ at the start of its value, which Hydra cannot read and no shell expands."""
    key, equals, value = argument.partition("=")
    if not value.startswith("~") or key.startswith("-"):
        return argument
    with contextlib.suppress(RuntimeError):  # no such user
        value = str(Path(value).expanduser())
    return f"{key}{equals}{value}" if value[0] == "/" else f"{key}{equals}'{value}'"


def _quoted(argument: str, swept: bool) -> str:
    if tokens := _TOKENS.fullmatch(argument):
        listed = [one.strip() for one in tokens[2].split(",")] if tokens[2].strip() else []
        plain = all(one[:1] not in ("'", '"') for one in listed)
        return f"{tokens[1]}[{','.join(map(_text, listed))}]" if plain else argument
    match = _TEXT.fullmatch(argument)
    if match is None or _SPECIAL.fullmatch(match[4]) or (swept and match[3] == "env"):
        return argument
    return f"{match[1] or ''}{match[2]}={_text(match[4])}"


def _text(value: str) -> str:
    """The value as Hydra reads a text: in single quotes."""
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'")
    return f"'{escaped}'"
