"""The kinds of lines with their fields and docstrings, for the reference pages. It parses source: no command imports it."""

import ast
import inspect
from dataclasses import dataclass
from pathlib import Path

from launcher.run.events import Event, all_kinds
from launcher.run.metrics import KINDS, Line
from launcher.run.record import Record

_WRITER = "Written by: "


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDoc:
    """One field of a kind of line."""

    name: str
    type: str
    """As the source has it."""
    required: bool
    """Whether the line always has it."""
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KindDoc:
    """One kind of line."""

    name: str
    """The value of "event"; for metrics, the class's name."""
    doc: str
    """What such a line means."""
    writer: str
    """Who writes it, and when."""
    fields: tuple[FieldDoc, ...]
    """Its own fields, without those that all lines have."""


def describe_events() -> list[KindDoc]:
    """Every kind of event of events.jsonl."""
    return [describe(kind, kind.KIND) for kind in all_kinds()]


def describe_metrics() -> list[KindDoc]:
    """Every kind of line of metrics.jsonl."""
    return [describe(kind, kind.__name__) for kind in KINDS]


def shared_fields(kind: type[Event] | type[Line]) -> tuple[FieldDoc, ...]:
    """The fields that all events, or all metrics lines, have: of Event or of Line."""
    return _fields(kind)


def describe(kind: type[Record], name: str) -> KindDoc:
    """The kind's own docstring, writer and fields."""
    doc = inspect.cleandoc(kind.__doc__ or "")
    meaning, _, writer = doc.partition(_WRITER)
    return KindDoc(name=name, doc=" ".join(meaning.split()), writer=writer.strip(), fields=_fields(kind))


def _fields(kind: type[Record]) -> tuple[FieldDoc, ...]:
    """The annotated names in the class's body, each with the string that follows it."""
    tree = ast.parse(Path(inspect.getfile(kind)).read_text(encoding="utf-8"))
    body = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    ).body
    found: list[FieldDoc] = []
    for at, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        if name not in kind.FIELDS:
            continue
        behind = body[at + 1] if at + 1 < len(body) else None
        value = behind.value if isinstance(behind, ast.Expr) else None
        doc = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
        text = " ".join(doc.split())
        found.append(
            FieldDoc(name=name, type=ast.unparse(node.annotation), required=name in kind.REQUIRED, doc=text)
        )
    return tuple(found)
