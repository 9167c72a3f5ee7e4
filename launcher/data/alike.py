"""Groups of rows that are near copies of each other, as the data check finds them, or that share a name."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import ceil
from typing import Any

from launcher.data.counting import words_in
from launcher.data.examples import canonical
from launcher.data.kinds import Example
from launcher.data.near import SHINGLE, THRESHOLD, grams, sketch, sketched_links

_EXACT_WORDS = 100_000
"""Up to this number of words, rows are compared by their sets of shingles, without numpy; beyond it, by MinHash."""
_BLOCK_WORDS = 1 << 20
"""Words that are in memory before they become sketches."""
_POSTINGS = 100
"""How many rows with the same shingle a row is compared with at most; it limits the work if all rows begin alike."""
_SKETCHED = 0.65
"""Estimated Jaccard from which rows are joined. The estimate's standard error at 0.8 is 0.05, so of pairs with 0.8 in common
1 in 700 is missed; at 0.8, half of them would be."""
_SIDES = ("messages", "prompt", "completion", "chosen", "rejected")


class Groups:
    """Rows that belong together, numbered in the order in which they are added."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._first: dict[Any, int] = {}
        """The first row of each content, and of each name."""
        self._words, self._ends = array("I"), array("Q")
        self._worded: list[int] = []
        """Rows with words, in the order of the ends."""
        self._sketches: list[tuple[Any, Any]] = []

    def __len__(self) -> int:
        return len(self._parent)

    def add(self, example: Example, name: Any = None) -> bytes:
        """The content of the row as canonical bytes, after it is added. Rows with the same `name` belong together, unless it is
        None."""
        row = len(self._parent)
        self._parent.append(row)
        content = canonical(example)
        for key in (content, *(() if name is None else (("name", name),))):
            self.join(row, self._first.setdefault(key, row))
        before = len(self._words)
        self._words.extend(words_in(_said(example)))
        if len(self._words) > before:
            self._worded.append(row)
            self._ends.append(len(self._words))
        if len(self._words) > _BLOCK_WORDS:
            self._sketch()
        return content

    def root(self, row: int) -> int:
        """The first row of the group."""
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

    def join(self, one: int, other: int) -> None:
        """Puts both rows into one group."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first

    def join_near(self) -> None:
        """Joins all near copies; called once, after the last row is added."""
        if not self._sketches and len(self._words) <= _EXACT_WORDS:
            self._join_exact()
            return
        import numpy as np

        self._sketch()
        bands, low = (np.concatenate(parts) for parts in zip(*self._sketches, strict=True))
        skipped: Any = np.zeros(len(bands), bool)
        for rows, others, _ in sketched_links(bands, low, skipped, _SKETCHED):
            pairs: list[tuple[int, int]] = np.stack([rows, others], axis=1).tolist()
            for one, other in pairs:
                self.join(self._worded[one], self._worded[other])

    def _sketch(self) -> None:
        self._sketches.append(sketch(self._words, self._ends))
        self._words, self._ends = array("I"), array("Q")

    def _join_exact(self) -> None:
        """As launcher.data.near.exact_pairs, but rows of one group are not compared again."""
        found: dict[tuple[int, ...], list[int]] = {}
        shingles: dict[int, set[tuple[int, ...]]] = {}
        for row, said in zip(self._worded, _rows(self._words, self._ends), strict=True):
            mine = grams(said, SHINGLE)
            shingles[row] = mine
            candidates: dict[int, None] = {}
            for gram in sorted(mine)[: len(mine) - ceil(THRESHOLD * len(mine)) + 1]:
                others = found.setdefault(gram, [])
                candidates.update(dict.fromkeys(others))
                if len(others) < _POSTINGS:
                    others.append(row)
            for other in candidates:
                theirs = shingles[other]
                if self.root(row) == self.root(other) or len(theirs) * THRESHOLD > len(mine):
                    continue
                if len(mine & theirs) >= THRESHOLD * len(mine | theirs):
                    self.join(row, other)


def _rows(words: array[int], ends: array[int]) -> Iterator[list[int]]:
    said = words.tolist()
    return (said[start:end] for start, end in zip([0, *ends], ends, strict=False))


def _said(example: Example) -> str:
    """The text of all turns outside of the system prompt."""
    if "text" in example:
        return example["text"]
    turns = [turn for side in _SIDES for turn in example.get(side, ())]
    return " ".join(turn["content"] for turn in turns if turn["role"] != "system")
