"""What a verb declares to print under --json: its objects with their fields, types and meanings. No command imports this."""

import ast
import dataclasses
import inspect
import sys
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from launcher.run.events.base import Event
from launcher.run.record import Record

_PLAIN: dict[Any, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "text",
    type(None): "null",
    Any: "any",
    object: "any",
}
_LISTS = (list, tuple, Sequence)
_MAPPINGS = (dict, Mapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an object."""

    name: str
    hint: Any
    """Its type, as annotated."""
    always: bool
    """Whether the object always has it; a field that is null is there."""
    doc: str
    """Its meaning, with the unit of a number."""


def is_object(hint: Any) -> bool:
    """Whether the hint is a class whose fields are declared: a TypedDict, a dataclass or a line of a run's record."""
    return isinstance(hint, type) and (
        is_typeddict(hint) or dataclasses.is_dataclass(hint) or issubclass(hint, Record)
    )


def alternatives(prints: Any) -> dict[str, Any]:
    """The shapes in a verb's `prints`, by when each is printed; "" where options do not change it."""
    return dict(cast("Mapping[str, Any]", prints)) if isinstance(prints, Mapping) else {"": prints}


def fields_of(shape: Any) -> list[Field]:
    """The fields of an object; a tuple is one object with the fields of all its classes, a later class before an earlier."""
    found: dict[str, Field] = {}
    for one in cast("tuple[Any, ...]", shape) if isinstance(shape, tuple) else (shape,):
        docs, hints = _docs(one), get_type_hints(one, include_extras=True)
        for name, always in _names(one).items():
            hint = str if name == "event" and issubclass(one, Event) else hints[name]
            found[name] = Field(
                name=name, hint=_bare(hint), always=always, doc=docs.get(name) or _extra(hint)
            )
    return list(found.values())


def undocumented(shape: Any) -> list[str]:
    """The fields without a docstring, here and in the objects below, as Class.field."""
    found: list[str] = []
    for one in [shape, *nested(shape)]:
        for field in fields_of(one) if isinstance(one, tuple) or is_object(one) else ():
            if not field.doc:
                classes = cast("tuple[Any, ...]", one) if isinstance(one, tuple) else (one,)
                found.append(f"{' and '.join(each.__name__ for each in classes)}.{field.name}")
    return found


def nested(shape: Any) -> list[Any]:
    """All objects below the shape, each once, in the order of their appearance; not the shape itself."""
    found: list[Any] = []
    _collect(shape, found)
    return [one for one in found if one is not shape]


def summary(shape: Any) -> str:
    """The first paragraph of the object's docstring, in one line."""
    one = cast("tuple[Any, ...]", shape)[-1] if isinstance(shape, tuple) else shape
    return (
        " ".join(inspect.cleandoc(one.__doc__ or "").partition("\n\n")[0].split()) if is_object(one) else ""
    )


def spell(hint: Any) -> str:
    """The type in words; an object is a link to its table."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(spell(one) for one in inside)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inside)
    if origin in _LISTS:
        if origin is tuple and inside[-1] is not Ellipsis:
            return f"list of {len(inside)}: {', '.join(spell(one) for one in inside)}"
        return f"list of {spell(inside[0])}"
    if origin in _MAPPINGS:
        return f"mapping of {spell(inside[0])} to {spell(inside[1])}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    if is_object(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _PLAIN.get(hint) or {dict: "mapping", list: "list", Mapping: "mapping"}[hint]


def _collect(shape: Any, found: list[Any]) -> None:
    whole = isinstance(shape, tuple)
    if whole or is_object(shape):
        if shape in found:
            return
        found.append(shape)
        for field in fields_of(shape):
            _collect(field.hint, found)
        return
    for inside in get_args(shape):
        _collect(inside, found)


def _names(one: Any) -> dict[str, bool]:
    """The names in the JSON object, and whether each is always there."""
    if is_typeddict(one):
        return {name: name in one.__required_keys__ for name in one.__annotations__}
    if dataclasses.is_dataclass(one):
        return {field.name: True for field in dataclasses.fields(one) if field.metadata.get("printed", True)}
    names = [name for name in one.FIELDS if name != "more"]
    kind = ["event"] if issubclass(one, Event) else []
    return dict.fromkeys([*kind, *names], True)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _extra(hint: Any) -> str:
    """The docstring of a field whose name is a word of Python's, as annotated."""
    return str(get_args(hint)[1]) if get_origin(hint) is Annotated else ""


def _docs(one: type) -> dict[str, str]:
    """The docstring below each field, in one line; those of base classes included.

    Source: PEP 257, "attribute docstrings". A TypedDict's bases are not in its __mro__, so they are read from the source.
    """
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
    except OSError:  # made by a call, as for a field whose name is a word of Python's
        return {}
    if not isinstance(node, ast.ClassDef):
        return {}
    docs = {"event": "The kind of the event."} if issubclass(one, Event) else {}
    for base in node.bases:
        found: Any = (
            getattr(sys.modules[one.__module__], base.id, None) if isinstance(base, ast.Name) else None
        )
        if is_object(found):
            docs |= _docs(found)
    for field, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            value = below.value if isinstance(below, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docs[field.target.id] = " ".join(value.value.split())
    return docs
