"""Every key of the schema with its type, default and meaning, read from the dataclasses and their docstrings."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from launcher.config.run import Config

_PLAIN: dict[Any, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    dict: "mapping",
    Any: "any",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """One key of the configuration, or a group of keys."""

    name: str
    """As it is typed, such as `trainer.learning_rate`; `data.sources[].path` for a key of each element of a list."""
    type: str
    default: str | None
    """The schema's default in YAML's spelling; None if a value must be given. A file of conf/ may set another."""
    doc: str
    """What the key does; for a group, what it holds."""
    group: bool


def list_keys(schema: type = Config, prefix: str = "") -> list[ConfigKey]:
    """All keys under `schema` in the order of the source, each group before its keys.

    An empty `doc` means that the source has no docstring below the field.
    """
    return list(_keys(schema, prefix))


def field_docs(schema: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, in one line; inherited fields included.

    Source: PEP 257, "attribute docstrings"; Python keeps them only in the source.
    """
    docs: dict[str, str] = {}
    for one in reversed(schema.__mro__):
        if dataclasses.is_dataclass(one):
            docs |= _docs_below(one, ast.AnnAssign)
    return docs


def member_docs(enum: type[Enum]) -> dict[str, str]:
    """The docstring below each member of an enum, in one line; empty for a member without one."""
    return dict.fromkeys(enum.__members__, "") | _docs_below(enum, ast.Assign)


def _docs_below(source: type, kind: type[ast.AnnAssign] | type[ast.Assign]) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(source))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    for field, below in itertools.pairwise(body.body):
        if (
            not isinstance(field, kind)
            or not isinstance(below, ast.Expr)
            or not isinstance(below.value, ast.Constant)
        ):
            continue
        target = field.target if isinstance(field, ast.AnnAssign) else field.targets[0]
        if isinstance(target, ast.Name):
            docs[target.id] = " ".join(str(below.value.value).split())
    return docs


def _keys(schema: type, prefix: str) -> Iterator[ConfigKey]:
    docs, hints = field_docs(schema), get_type_hints(schema)
    for field in dataclasses.fields(schema):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        below, suffix = _schema_below(hint)
        doc = docs.get(field.name) or (_first_paragraph(below) if below else "")
        yield ConfigKey(
            name=name, type=_type(hint), default=None if below and not suffix else _default(field), doc=doc,
            group=below is not None and not suffix,
        )  # fmt: skip
        if below:
            yield from _keys(below, f"{name}{suffix}.")


def _schema_below(hint: Any) -> tuple[type | None, str]:
    """The dataclass that a key holds, and `[]` if it holds a list of them."""
    for one in (hint, *get_args(hint)):
        if isinstance(one, type) and dataclasses.is_dataclass(one):
            return one, "[]" if get_origin(hint) is list else ""
    return None, ""


def _first_paragraph(schema: type) -> str:
    return " ".join(inspect.cleandoc(schema.__doc__ or "").partition("\n\n")[0].split())


def _type(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _type(one) for one in get_args(hint))
    if get_origin(hint) is list:
        return f"list of {_type(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return "mapping"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(member.name for member in hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return "group"
    return _PLAIN.get(hint) or repr(hint)  # pyright: ignore[reportUnknownArgumentType]


def in_yaml(value: Any) -> str:
    """A default value in the spelling of YAML."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _default(field: "dataclasses.Field[Any]") -> str | None:
    made: Any = field.default_factory
    value = field.default if made is dataclasses.MISSING else made()
    return None if value is dataclasses.MISSING or value == MISSING else in_yaml(value)
