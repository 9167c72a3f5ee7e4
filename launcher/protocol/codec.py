"""Messages to lines of JSON and back, checked against the types of their fields.

The check is built once per class, when the class is declared, so that decoding costs a call per field and needs no library:
a supervisor of 4,096 nodes decodes some 10,000 heartbeats per second.
"""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

LONGEST_LINE = 16 << 20
"""Bytes. A longer line is not a message of this project; a heartbeat has about 60 bytes per rank."""

Check = Callable[[Any], Any]


class ProtocolError(ValueError):
    """A line is not a message that this process understands. It never ends the supervisor: it ends one connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The base of all messages. The `kind` of a message on the wire is the name of its class."""


def encode(message: Message) -> bytes:
    """The message as one line, without the line end."""
    values: dict[str, Any] = {"kind": type(message).__name__}
    for name in _fields_of(type(message)):
        values[name] = getattr(message, name)
    return json.dumps(values, default=_plain, separators=(",", ":")).encode()


def decode(line: bytes | bytearray, accepted: Mapping[str, type[Message]]) -> Message:
    """The message in a line; ProtocolError if it is not one of `accepted` (see `kinds`) or a field is missing or wrong.

    Fields that this version does not know are ignored.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: deeply nested brackets
        raise ProtocolError(f"not a line of JSON: {bytes(line[:80])!r}") from None
    if not isinstance(values, dict):
        raise ProtocolError(f"not a JSON object: {bytes(line[:80])!r}")
    found = cast("dict[str, Any]", values)
    kind = found.get("kind")
    wanted = accepted.get(kind) if isinstance(kind, str) else None
    if wanted is None:
        raise ProtocolError(f"unknown kind of message {repr(kind)[:80]}; known: {', '.join(accepted)}")
    return _build(wanted, found)


def kinds(*classes: type[Message]) -> dict[str, type[Message]]:
    """Kind -> class, for the messages that one side accepts. A message has no field `kind`: on the wire it is the class."""
    assert not any("kind" in one.__slots__ for one in classes)
    return {one.__name__: one for one in classes}


def _build(wanted: type[Any], values: Mapping[str, Any]) -> Any:
    made: dict[str, Any] = {}
    for name, (check, required) in _fields_of(wanted).items():
        if name in values:
            try:
                made[name] = check(values[name])
            except ProtocolError:  # of a dataclass inside of this one
                raise
            except (TypeError, ValueError, OverflowError):  # an integer can be too large for a float
                shown = repr(values[name])[:80]
                raise ProtocolError(f"{wanted.__name__}.{name} is {shown}, which has a wrong type") from None
        elif required:
            raise ProtocolError(f"{wanted.__name__} has no {name}")
    return wanted(**made)


_KNOWN: dict[type, dict[str, tuple[Check, bool]]] = {}


def _fields_of(wanted: type) -> dict[str, tuple[Check, bool]]:
    """Field -> its check, and whether it is required; derived once per class."""
    known = _KNOWN.get(wanted)
    if known is None:
        hints = get_type_hints(wanted)
        known = _KNOWN[wanted] = {
            one.name: (
                _check_for(hints[one.name]),
                one.default is MISSING and one.default_factory is MISSING,
            )
            for one in fields(wanted)
        }
    return known


def _check_for(hint: Any) -> Check:
    """A function that returns a decoded JSON value as `hint`, and raises TypeError or ValueError if it is not one."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):  # only Optional
        return _optional(_check_for(next(one for one in inner if one is not type(None))))
    if origin is dict:
        return _mapping(_check_for(inner[1]), of_int=inner[0] is int)
    if origin is tuple:  # tuple[X, ...]
        return _sequence(_check_for(inner[0]))
    if hint is float:
        return _number
    if is_typeddict(hint):
        return _typed_dict(hint)
    if issubclass(hint, tuple):  # a NamedTuple
        return _record(hint)
    if hasattr(hint, "__dataclass_fields__"):
        return _nested(hint)
    return _exact(hint)


def _wrong() -> Any:
    raise TypeError


def _exact(wanted: type) -> Check:
    return lambda value: value if type(value) is wanted else _wrong()


def _number(value: Any) -> float:
    return value if type(value) is float else float(value) if type(value) is int else _wrong()


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _sequence(check: Check) -> Check:
    return lambda value: tuple(map(check, cast("list[Any]", value))) if type(value) is list else _wrong()


def _nested(wanted: type) -> Check:
    return lambda value: _build(wanted, value) if type(value) is dict else _wrong()  # pyright: ignore[reportUnknownArgumentType]


def _mapping(check: Check, *, of_int: bool) -> Check:
    def checked(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise TypeError
        found = cast("dict[str, Any]", value)
        return {int(name) if of_int else name: check(one) for name, one in found.items()}

    return checked


def _typed_dict(wanted: Any) -> Check:
    """The check of a TypedDict; keys that it does not declare are left out."""
    checks = {name: _check_for(hint) for name, hint in get_type_hints(wanted).items()}
    required: frozenset[str] = wanted.__required_keys__

    def checked(value: Any) -> dict[str, Any]:
        if type(value) is not dict or not required <= cast("dict[str, Any]", value).keys():
            raise TypeError
        found = cast("dict[str, Any]", value)
        return {name: check(found[name]) for name, check in checks.items() if name in found}

    return checked


def _record(wanted: Any) -> Check:
    """The check of a NamedTuple, which is a list on the wire: a heartbeat holds one for each rank.

    The types of all values are looked up together. Only values that differ in type from their field, such as a record inside
    this one, are checked and converted one by one.
    """
    hints = tuple(get_type_hints(wanted).values())
    checks = tuple(_check_for(hint) for hint in hints)
    known: dict[tuple[type, ...], tuple[int, ...]] = {}
    """Types of values that were accepted before -> the places whose values still need a check."""

    def checked(value: Any) -> Any:
        if type(value) is not list:
            raise TypeError
        found = cast("list[Any]", value)
        signature = tuple(map(type, found))
        places = known.get(signature)
        if places is None:
            made = wanted._make([check(one) for check, one in zip(checks, found, strict=True)])
            known[signature] = tuple(
                place
                for place, (one, hint) in enumerate(zip(signature, hints, strict=True))
                if one is not hint and one is not type(None)
            )
            return made
        for place in places:
            found[place] = checks[place](found[place])
        return wanted._make(found)

    return checked


def _plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass inside of a message."""
    return {name: getattr(value, name) for name in _fields_of(value.__class__)}
