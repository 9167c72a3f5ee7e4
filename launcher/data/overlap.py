"""Evaluation rows that share 13 consecutive words with training data.

Source: Brown et al., Language Models are Few-Shot Learners (arXiv 2005.14165), appendix C: 13-grams of lower-case words
without punctuation. System prompts are left out, because all rows may share one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, cast

from launcher.data.near import gram_hashes

LENGTH = 13


class EvalSet:
    """The 13-word sequences of the rows of an evaluation file, by three of their words; for small files."""

    def __init__(self, words: array[int], ends: array[int]) -> None:
        self.runs: dict[tuple[int, ...], list[tuple[list[int], int]]] = {}
        for row, said in enumerate(_rows(words, ends)):
            for start, key in enumerate(_keys(said)):
                self.runs.setdefault(key, []).append((said[start : start + LENGTH], row))

    def overlaps(self, words: array[int], ends: array[int]) -> dict[int, int]:
        """Evaluation row -> the first of these training rows that shares 13 consecutive words with it."""
        first: dict[int, int] = {}
        for row, said in enumerate(_rows(words, ends)) if self.runs else ():
            for start, key in enumerate(_keys(said)):
                for run, found in self.runs.get(key, ()):
                    if found not in first and said[start : start + LENGTH] == run:
                        first[found] = row
        return first


class EvalHashes:
    """The 13-word sequences as sorted arrays of hashes, for large files; small enough to be sent to every process."""

    def __init__(self, words: array[int], ends: array[int]) -> None:
        import numpy as np

        hashes, rows = _long_runs(words, ends)
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.begins, self.counts = np.unique(
            hashes[order], return_index=True, return_counts=True
        )
        self.rows: Any = rows[order]

    def overlaps(self, words: array[int], ends: array[int]) -> dict[int, int]:
        """Evaluation row -> the first of these training rows that shares 13 consecutive words with it."""
        import numpy as np

        if not len(self.hashes) or not len(ends):
            return {}
        hashes, rows = _long_runs(words, ends)
        at = cast("Any", np.searchsorted(self.hashes, hashes))
        at[at == len(self.hashes)] = 0
        hit: Any = self.hashes[at] == hashes
        common, where = np.unique(at[hit], return_index=True)
        training: list[int] = rows[hit][where].tolist()
        first: dict[int, int] = {}
        for row, index in sorted(zip(training, cast("list[int]", common.tolist()), strict=True)):
            begin = self.begins[index]
            for evaluation in self.rows[begin : begin + self.counts[index]].tolist():
                first.setdefault(evaluation, row)
        return first


def _rows(words: array[int], ends: array[int]) -> list[list[int]]:
    said = words.tolist()
    return [said[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _keys(said: list[int]) -> Iterator[tuple[int, ...]]:
    """First, middle and last word of every sequence: enough for a look-up, and cheaper than all thirteen words."""
    return zip(said, said[LENGTH // 2 :], said[LENGTH - 1 :], strict=False)


def _long_runs(words: array[int], ends: array[int]) -> tuple[Any, Any]:
    """Hashes of the sequences in rows of 13 words or more, and the row of each."""
    import numpy as np

    if not len(ends):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes, runs = gram_hashes(words, ends, LENGTH)
    lengths = np.diff(np.concatenate(([0], np.asarray(ends, np.int64))))
    rows = np.repeat(np.arange(len(runs)), runs)
    long = np.repeat(lengths >= LENGTH, runs)
    return hashes[long], rows[long]
