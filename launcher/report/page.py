"""A report as values: its texts, figures and charts, independent of HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD, WARN, BAD, PLAIN = "good", "warn", "bad", "plain"
"""Tones: the colours of a badge, a notice or a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows; each cell of a row is text, a number or None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    links: Mapping[int, str] | None = None
    """Row -> address to which its first cell links."""
    sortable: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart: a one-sentence summary, its numbers as a table for screen readers, and the specification for page.js."""

    id: str
    title: str
    summary: str
    kind: str
    """lines, parts, bars, timeline or parallel."""
    spec: Mapping[str, Any]
    table: Table
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A box at the top of the page with something that a person should know before looking at the curves."""

    tone: str
    title: str
    text: str
    items: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure in large type."""

    label: str
    value: str
    note: str = ""
    tone: str = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with its charts, tables and (label, text) facts."""

    id: str
    title: str
    text: str = ""
    charts: Sequence[Chart] = ()
    tables: Sequence[tuple[str, Table]] = ()
    """(caption, table)."""
    facts: Sequence[tuple[str, str]] = ()
    quotes: Sequence[tuple[str, str]] = ()
    """(who or when, text)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report."""

    kind: str
    """run or sweep."""
    name: str
    subtitle: str
    state: str
    tone: str
    written: str
    version: str
    notices: Sequence[Notice]
    tiles: Sequence[Tile]
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]

    @property
    def charts(self) -> list[Chart]:
        """Every chart of the page."""
        return [chart for section in self.sections for chart in section.charts]
