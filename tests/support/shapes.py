"""What a verb has printed under --json, compared with what it declares."""

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from launcher.cli.run import DEFAULT, ErrorReport, split
from launcher.cli.verb import NOTHING, Verb, find_verb
from launcher.reference.shapes import alternatives, fields_of, is_object

_PLAIN = {int: int, float: (int, float), str: str, Path: str, bool: bool, type(None): type(None)}


def documents(text: str) -> list[Any]:
    """The JSON documents that a command has printed, one after the other; ValueError for anything else on stdout."""
    found: list[Any] = []
    reader, at = json.JSONDecoder(parse_constant=_refuse), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = reader.raw_decode(text, at)
        found.append(value)
    return found


def verb_of(words: Sequence[str]) -> tuple[str, Verb]:
    """The verb of a command line, with its full name."""
    name, rest = split(words)
    verb = find_verb(name)
    if not isinstance(verb, Verb):
        name = f"{name} {rest[0]}"
        verb = find_verb(name)
    assert isinstance(verb, Verb)
    return name, verb


def check_printed(words: Sequence[str], stdout: str) -> None:
    """AssertionError if a document that the command line has printed differs from what its verb declares."""
    try:
        name, verb = verb_of(words)
    except (LookupError, ImportError):
        name, verb = DEFAULT, None
    shapes = {} if verb is None or verb.printed == NOTHING else alternatives(verb.printed)
    for value in documents(stdout):
        told = {when or "always": list(differences(value, shape)) for when, shape in shapes.items()}
        is_error = isinstance(value, dict) and not list(differences(value, ErrorReport))
        assert is_error or any(not found for found in told.values()), f"{name} --json: {told}"


def differences(value: Any, hint: Any, at: str = "") -> Iterator[str]:
    """Each difference of a JSON value from a declared shape: a missing or unknown field, or another type."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint in (Any, object):
        return
    if isinstance(hint, tuple) or is_object(hint):
        yield from _object(value, hint, at)
    elif origin in (Union, UnionType):
        told = [list(differences(value, one, at)) for one in inside]
        if all(told):
            yield from min(told, key=len)
    elif origin is Literal:
        yield from () if value in inside else [f"{at}={value!r} is not one of {inside}"]
    elif origin in (list, tuple, Sequence) or hint is list:
        yield from _list(value, hint, at)
    elif origin in (dict, Mapping) or hint in (dict, Mapping):
        yield from _mapping(value, inside, at)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from () if value in [one.value for one in hint] else [f"{at}={value!r} is no {hint.__name__}"]
    elif not isinstance(value, _PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
        yield f"{at}={value!r} is no {hint.__name__}"


def _object(value: Any, shape: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at or 'the document'}={value!r:.80} is no object"
        return
    fields = {field.name: field for field in fields_of(shape)}
    yield from (f"{at}.{name} is not declared" for name in value if name not in fields)
    for name, field in fields.items():
        if name in value:
            yield from differences(value[name], field.hint, f"{at}.{name}")
        elif field.always:
            yield f"{at}.{name} is missing"


def _list(value: Any, hint: Any, at: str) -> Iterator[str]:
    inside = get_args(hint)
    if not isinstance(value, list):
        yield f"{at or 'the document'}={value!r:.80} is no list"
        return
    fixed = get_origin(hint) is tuple and inside[-1] is not Ellipsis
    if fixed and len(value) != len(inside):
        yield f"{at} has {len(value)} items and not {len(inside)}"
    hints = inside if fixed else inside[:1] * len(value)
    for number, (item, one) in enumerate(zip(value, hints, strict=False)):
        yield from differences(item, one, f"{at}[{number}]")


def _mapping(value: Any, inside: tuple[Any, ...], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at or 'the document'}={value!r:.80} is no mapping"
        return
    for name, item in value.items():
        if inside and inside[0] is int and not name.lstrip("-").isdecimal():
            yield f"{at}: the key {name} is no integer"
        if inside:
            yield from differences(item, inside[1], f"{at}.{name}")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
