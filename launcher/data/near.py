"""Near duplicates among rows, by three-word shingles: compared exactly in small files and by MinHash in large ones.

Source: Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman, Ullman, Mining of Massive
Datasets, chapter 3 (banding); Li and Koenig, b-bit minwise hashing (arXiv 0910.3349).

datasketch has the same method, and the tests compare this code with it. It is not used here, because its MinHashLSH keeps a
set for each row and band in Python dictionaries: a million rows and 16 bands take about 6 GB and two minutes on one core.
Sorting the hashes of the bands in arrays takes 200 MB and seconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

THRESHOLD = 0.8
"""Share of shingles in common (Jaccard) from which two rows are near duplicates."""
SHINGLE = 3
BANDS, PER_BAND = 16, 4
"""64 hash functions in bands of 4: a pair at 0.8 becomes a candidate with probability 1 - (1 - 0.8**4)**16 = 0.9998."""
_POSTINGS = 20
"""How many rows with the same shingle a row is compared with at most; it limits the work if all rows begin alike."""


def grams(words: Sequence[int], length: int) -> set[tuple[int, ...]]:
    """Every sequence of `length` consecutive words; a row with fewer words is one sequence."""
    if len(words) < length:
        return {tuple(words)}
    return set(zip(*(words[start:] for start in range(length)), strict=False))


def exact_pairs(words: array[int], ends: array[int], skipped: set[int]) -> Iterator[tuple[int, int, float]]:
    """(row, earlier row, Jaccard) of each near duplicate, by comparing sets; for files of some thousand rows.

    Only the first n - ceil(0.8 n) + 1 of n shingles, in any fixed order, are looked up: two rows that share 0.8 of their
    shingles share at least one of these. Source: Bayardo, Ma, Srikant, Scaling up all pairs similarity search (2007).
    """
    found: dict[tuple[int, ...], list[int]] = {}
    shingles: dict[int, set[tuple[int, ...]]] = {}
    said = words.tolist()
    for row, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if row in skipped or start == end:
            continue
        mine = grams(said[start:end], SHINGLE)
        candidates: set[int] = set()
        for gram in sorted(mine)[: len(mine) - ceil(THRESHOLD * len(mine)) + 1]:
            others = found.setdefault(gram, [])
            candidates.update(others)
            if len(others) < _POSTINGS:
                others.append(row)
        shingles[row] = mine
        alike = [(len(mine & shingles[other]) / len(mine | shingles[other]), -other) for other in candidates]
        if alike and max(alike)[0] >= THRESHOLD:
            yield row, -max(alike)[1], max(alike)[0]


def gram_hashes(words: Any, ends: Any, length: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """64-bit hashes of every sequence of `length` words, row after row, and the number of them in each row (at least one)."""
    import numpy as np

    ends = np.asarray(ends, np.int64)
    starts = np.concatenate(([0], ends[:-1])).astype(np.int64)
    padded = np.concatenate((np.asarray(words, np.uint64), np.zeros(length, np.uint64)))
    runs = np.maximum(ends - starts - (length - 1), 1)
    offsets = np.repeat(starts - np.concatenate(([0], np.cumsum(runs)[:-1])), runs)
    at: Any = np.arange(int(runs.sum())) + offsets
    short = np.repeat(ends, runs)
    total = np.zeros(len(at), np.uint64)
    for step in range(length):
        value = padded[at + step] + np.uint64(1)
        value[at + step >= short] = 0
        total = (total ^ value) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total, runs


def sketch(words: Any, ends: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """For each row, a hash of each band [rows, 16] and the lowest 8 bits of each of the 64 minima [rows, 64]."""
    import numpy as np

    if not len(ends):
        return np.empty((0, BANDS), np.uint64), np.empty((0, BANDS * PER_BAND), np.uint8)
    hashes, runs = gram_hashes(words, ends, SHINGLE)
    small = (hashes >> np.uint64(32)).astype(np.uint32)
    starts = np.concatenate(([0], np.cumsum(runs)[:-1]))
    draw = np.random.default_rng(1)
    factors = draw.integers(0, 2**31, BANDS * PER_BAND, np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = draw.integers(0, 2**32, BANDS * PER_BAND, np.uint32)
    minima = np.empty((len(ends), BANDS * PER_BAND), np.uint32)
    buffer = np.empty_like(small)
    for column, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
        np.multiply(small, factor, out=buffer)
        np.add(buffer, shift, out=buffer)
        minima[:, column] = np.minimum.reduceat(buffer, starts)
    bands = np.zeros((len(ends), BANDS), np.uint64)
    for step in range(PER_BAND):
        bands = (bands ^ minima[:, step::PER_BAND]) * np.uint64(0x9E3779B97F4A7C15)
        bands ^= bands >> np.uint64(32)
    low = (minima ^ (minima >> np.uint32(16))).astype(np.uint16)
    return bands, (low ^ (low >> np.uint16(8))).astype(np.uint8)


def sketched_pairs(bands: Any, low: Any, skipped: Any) -> Iterator[tuple[int, int, float]]:
    """(row, earlier row, estimated Jaccard) of each near duplicate; `skipped` is true for rows to leave out.

    Of several earlier rows, the one most alike is given. The estimate's standard error at 0.8 is 0.05.
    """
    import numpy as np

    count = len(bands)
    earlier = np.full(count, -1, np.int64)
    best = np.zeros(count, np.float32)
    for one, two, alike in sketched_links(bands, low, skipped):
        better = alike > best[one]
        earlier[one[better]], best[one[better]] = two[better], alike[better]
    for row in np.flatnonzero(earlier >= 0):
        yield int(row), int(earlier[row]), float(best[row])


def sketched_links(
    bands: Any, low: Any, skipped: Any, least: float = THRESHOLD
) -> Iterator[tuple[Any, Any, Any]]:
    """Arrays of rows, earlier rows and estimated Jaccard, from `least` on; a pair can come several times.

    In a bucket of a band each row is compared with the first row and with the one before it, so a bucket of n rows costs 2n,
    and a bucket of near duplicates is connected.
    """
    import numpy as np

    rows = np.flatnonzero(~skipped)
    for band in range(BANDS):
        keys = bands[rows, band]
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
        new = np.ones(len(order), bool)
        new[same] = False
        first = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        for other in (first[same], same - 1):
            row, before = rows[order[same]], rows[order[other]]
            for start in range(0, len(row), 100_000):
                one, two = row[start : start + 100_000], before[start : start + 100_000]
                alike = ((low[one] == low[two]).mean(axis=1) - 1 / 256) / (1 - 1 / 256)
                near = alike >= least
                yield one[near], two[near], alike[near]
