"""The classes of classified rows: how a label is read, and how often each class occurs."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.printed import ClassCounts
from launcher.data.row import value_in

if TYPE_CHECKING:
    from launcher.data.files import Sections

KEYS = ("label", "labels")
"""Keys of a row with the name of its class, or with a list of names."""
_LONGEST = 200
"""Characters of a name; a longer label is a text in the wrong column."""


def read_labels(row: Mapping[str, Any]) -> list[str]:
    """The names of a row's classes: one, several, or none for an empty list; BrokenRow for what names no class."""
    given = [key for key in KEYS if row.get(key) is not None]
    if len(given) != 1:
        said = "no label" if not given else "label and labels"
        raise BrokenRow("class", f"the row has {said}; give one of them: a name, or a list of names")
    value = row[given[0]]
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value)  # a list in a cell of a table
    if not isinstance(value, list):
        return [_name(value, given[0])]
    names = [_name(one, given[0]) for one in cast("list[Any]", value)]
    if len(set(names)) < len(names):
        raise BrokenRow("class", f"{given[0]} {value!r:.80} names a class twice; name each once")
    return names


def _parsed(text: str) -> Any:
    try:
        return value_in(text)
    except ValueError:
        return text


def _name(value: Any, key: str) -> str:
    """The name of a class: a text as it is, a whole number or true and false as JSON writes them."""
    if isinstance(value, bool | int):
        return json.dumps(value)
    if not isinstance(value, str):
        whole = isinstance(value, float) and value.is_integer()
        more = f"; jq -c '.{key} |= floor' OLD.jsonl > NEW.jsonl makes whole numbers" if whole else ""
        raise BrokenRow(
            "class",
            f"{key} {value!r:.80} is not the name of a class; write a word or a whole number, or a list of them{more}",
        )
    name = value.strip()
    if not name:
        raise BrokenRow("class", f"{key} is empty; name the row's class, or remove the row")
    if len(name) > _LONGEST:
        raise BrokenRow(
            "class",
            f"{key} has {len(name):,} characters, and the name of a class has at most {_LONGEST}; is it the text of the row?",
        )
    return name


@dataclass(slots=True)
class ClassTally:
    """Counts of the classes of some rows."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    """Rows of each class; a row with several classes counts for each."""
    firsts: dict[str, int] = field(default_factory=dict[str, int])
    """The first line of each class."""
    chats: int = 0
    several: int = 0
    """Rows with several classes, or with none."""
    first_several: int | None = None
    sets: array[int] = field(default_factory=lambda: array("Q"))
    """A digest of the classes of each row."""
    names: dict[int, str] = field(default_factory=dict[int, str])
    """The classes by that digest, as a person reads them."""

    def add_row(self, line: int, example: Example) -> None:
        """Counts a row."""
        labels: list[str] = example["labels"]
        self.rows += 1
        self.chats += "messages" in example
        self.counts.update(labels)
        for label in labels:
            self.firsts.setdefault(label, line)
        if len(labels) != 1:
            self.several += 1
            self.first_several = line if self.first_several is None else self.first_several
        listed = json.dumps(sorted(labels), ensure_ascii=False)
        digest = int.from_bytes(hashlib.blake2b(listed.encode(), digest_size=8).digest(), "little")
        self.sets.append(digest)
        self.names.setdefault(digest, labels[0] if len(labels) == 1 else listed)

    def add(self, other: ClassTally, line_offset: int) -> None:
        """Adds the counts of the next rows, whose lines are counted from `line_offset`."""
        self.rows += other.rows
        self.chats += other.chats
        self.counts.update(other.counts)
        for label, line in other.firsts.items():
            self.firsts.setdefault(label, line + line_offset)
        self.several += other.several
        if self.first_several is None and other.first_several is not None:
            self.first_several = other.first_several + line_offset
        self.sets.extend(other.sets)
        for digest, name in other.names.items():
            self.names.setdefault(digest, name)

    def described(self, path: object, sections: Sections) -> ClassCounts | None:
        """The counts with the place of the first row of each class; None if no row was classified."""
        if not self.rows:
            return None

        def place(line: int) -> str:
            file, there = sections.where(line)
            return f"{file or path}, line {there}"

        return {
            "rows": self.rows,
            "labels": [
                {"label": label, "rows": self.counts[label], "first": place(line)}
                for label, line in sorted(self.firsts.items())
            ],
            "chats": self.chats,
            "several": self.several,
            "first_several": None if self.first_several is None else place(self.first_several),
        }
