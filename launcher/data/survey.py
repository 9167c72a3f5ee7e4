"""Counts, duplicates and overlap of a file: small files in this process and without numpy, large ones in several processes."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from launcher.data.counting import Counting, count
from launcher.data.encodings import way_out
from launcher.data.files import NOT_UTF8, NOT_UTF8_SAID, Sections, parse_lines, read_numbered
from launcher.data.findings import Finding
from launcher.data.near import exact_pairs, sketch, sketched_pairs
from launcher.data.overlap import EvalHashes, EvalSet
from launcher.data.part import Part
from launcher.data.places import find_files, is_plain, size_of
from launcher.data.portion import Sizes
from launcher.data.row import Row
from launcher.data.storage import BOM, storage

_ROWS = 5000
Advance = Callable[[int], None]


@dataclass(slots=True)
class Survey:
    """The results for a whole file."""

    part: Part
    duplicates: list[tuple[int, int]]
    """(line, line of the first row that is the same)"""
    near: list[tuple[int, int, float]]
    """(line, earlier line, Jaccard)"""
    seen: dict[int, int]
    """Evaluation row -> the training line that shares 13 consecutive words with it."""
    sections: Sections
    """The files, in whose order all lines are numbered through."""


def survey(
    place: Any,
    counting: Counting,
    evaluation: Part | None,
    advance: Advance | None = None,
    divided: Sizes = Sizes(),  # noqa: B008 (it is frozen)
) -> Survey:
    """The results for the files of this place; `advance` is called with the number of bytes done."""
    files = find_files(place)
    found = _survey(files, counting, evaluation, advance or (lambda _: None), divided)
    _add_way_out(found.part.findings, files, found.sections)
    _add_way_out(found.part.bad, files, found.sections)
    return found


def _add_way_out(findings: list[Finding], files: tuple[str, ...], sections: Sections) -> None:
    """Adds to the findings of ranges, which do not know their file, how it is converted to UTF-8."""
    said: dict[str, str] = {}
    for at, one in enumerate(findings):
        if (one.rule, one.message) != (NOT_UTF8, NOT_UTF8_SAID) or one.line is None:
            continue
        file = sections.where(one.line)[0] or files[0]
        if file not in said:
            said[file] = way_out(file)
        findings[at] = replace(one, message=one.message + said[file])


def _survey(
    files: tuple[str, ...], counting: Counting, evaluation: Part | None, advance: Advance, divided: Sizes
) -> Survey:
    sections = Sections()
    sizes = [size_of(file) for file in files]
    kinds = {storage(file) for file in files}
    plain = all(is_plain(file) for file in files)
    if sum(sizes) <= divided.small and plain and not kinds & {"parquet", "arrow"}:
        return _survey_small(files, sections, counting, evaluation)
    by_range = plain and kinds <= {"jsonl", "txt"}
    if not counting.compare:
        total = Part()
        offset = 0
        for done in _map(files, sizes, sections, by_range, counting, None, divided.block):
            if done.begins:
                sections.begin(done.begins, offset)
            total.add(done.part, offset)
            offset += done.lines
            advance(done.size)
        return Survey(total, [], [], {}, sections)
    import numpy as np

    hashes = EvalHashes(evaluation.words, evaluation.ends) if evaluation else None
    total = Part()
    bands: list[Any] = []
    low: list[Any] = []
    seen: dict[int, int] = {}
    offset = 0
    for done in _map(files, sizes, sections, by_range, counting, hashes, divided.block):
        if done.begins:
            sections.begin(done.begins, offset)
        for row, training in done.seen.items():
            seen.setdefault(row, done.part.lines[training] + offset)
        total.add(done.part, offset)
        bands.append(done.bands)
        low.append(done.low)
        offset += done.lines
        advance(done.size)
    duplicates, skipped = _duplicates(total)
    skip = np.zeros(len(total.lines), bool)
    skip[list(skipped)] = True
    if not bands:
        return Survey(total, duplicates, [], seen, sections)
    all_bands = np.concatenate(bands)
    bands.clear()
    all_low = np.concatenate(low)
    low.clear()
    pairs = sketched_pairs(all_bands, all_low, skip)
    near = [(total.lines[a], total.lines[b], alike) for a, b, alike in pairs]
    return Survey(total, duplicates, near, seen, sections)


def _survey_small(
    files: tuple[str, ...], sections: Sections, counting: Counting, evaluation: Part | None
) -> Survey:
    part = count(read_numbered(files, sections), counting)
    if not counting.compare:
        return Survey(part, [], [], {}, sections)
    duplicates, skipped = _duplicates(part)
    near = [
        (part.lines[a], part.lines[b], alike) for a, b, alike in exact_pairs(part.words, part.ends, skipped)
    ]
    seen: dict[int, int] = {}
    if evaluation:
        found = EvalSet(evaluation.words, evaluation.ends).overlaps(part.words, part.ends)
        seen = {row: part.lines[training] for row, training in found.items()}
    return Survey(part, duplicates, near, seen, sections)


def _duplicates(part: Part) -> tuple[list[tuple[int, int]], set[int]]:
    """(line, first line) of rows seen before, and their indices."""
    first: dict[int, int] = {}
    rows = [row for row, digest in enumerate(part.digests) if first.setdefault(digest, row) != row]
    return [(part.lines[row], part.lines[first[part.digests[row]]]) for row in rows], set(rows)


@dataclass(slots=True)
class _Done:
    part: Part
    bands: Any
    low: Any
    seen: dict[int, int]
    lines: int
    """Number of line ends in the block; 0 if its rows already count lines from the start of the file."""
    size: int
    begins: str = ""
    """The file that begins with this block."""


_state: dict[str, Any] = {}


def _map(
    files: tuple[str, ...],
    sizes: list[int],
    sections: Sections,
    by_range: bool,
    counting: Counting,
    hashes: EvalHashes | None,
    block: int,
) -> Iterator[_Done]:
    """The results for the blocks of the files, in order, as processes finish them."""
    size = sum(sizes)
    processes = (
        min(len(os.sched_getaffinity(0)), -(-size // block)) if hasattr(os, "sched_getaffinity") else 2
    )
    tasks: Iterator[Any] = _ranges(files, sizes, block) if by_range else _groups(files, sections, size)
    work = _count_range if by_range else _count_group
    _start(counting, hashes)
    if processes < 2:
        yield from map(work, tasks)
        return
    import multiprocessing  # imported here, because small files do not need it

    # Processes are spawned and not forked, because the progress bar on the terminal has a thread.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _start, (counting, hashes)) as pool:
        yield from _in_flight(pool, work, tasks, 2 * processes)


def _in_flight(pool: Any, work: Callable[[Any], _Done], tasks: Iterator[Any], most: int) -> Iterator[_Done]:
    """pool.imap with a limit of `most` tasks: rows that are read faster than they are counted must not fill the memory."""
    waiting = [pool.apply_async(work, (task,)) for task in islice(tasks, most)]
    while waiting:
        yield waiting.pop(0).get()
        waiting += [pool.apply_async(work, (task,)) for task in islice(tasks, 1)]


def _start(counting: Counting, hashes: EvalHashes | None) -> None:
    _state.update(counting=counting, hashes=hashes)


def _ranges(files: tuple[str, ...], sizes: list[int], block: int) -> Iterator[tuple[str, bool, int, int]]:
    for file, size in zip(files, sizes, strict=True):
        text = storage(file) == "txt"
        for start in range(0, max(size, 1), block):
            yield file, text, start, min(start + block, size)


def _groups(files: tuple[str, ...], sections: Sections, size: int) -> Iterator[tuple[list[Row], int]]:
    """Groups of _ROWS rows, each with its approximate size in bytes."""
    rows = read_numbered(files, sections)
    left = size
    while group := list(islice(rows, _ROWS)):
        about = min(left, len(str(group[0].value)) * len(group))
        left -= about
        yield group, about


def _count_range(task: tuple[str, bool, int, int]) -> _Done:
    """The results for the lines that begin within a range of bytes."""
    name, text, start, end = task
    with open(name, "rb") as file:  # noqa: PTH123 (a name among those of find_files)
        if start:
            file.seek(start - 1)
            file.readline()  # this line belongs to the previous range
        start_at = file.tell()
        block = file.read(max(end - start_at, 0))
        if block and not block.endswith(b"\n"):
            block += file.readline()
    lines = block.count(b"\n") + (end > start and not block.endswith(b"\n") and bool(block))
    rows = parse_lines(block if start else block.removeprefix(BOM), 1, text=text)
    done = _finish(count(rows, _state["counting"]), lines, end - start)
    done.begins = "" if start else name
    return done


def _count_group(task: tuple[list[Row], int]) -> _Done:
    group, size = task
    return _finish(count(group, _state["counting"]), 0, size)


def _finish(part: Part, lines: int, size: int) -> _Done:
    if not _state["counting"].compare:
        return _Done(part, None, None, {}, lines, size)
    bands, low = sketch(part.words, part.ends)
    hashes: EvalHashes | None = _state["hashes"]
    seen = hashes.overlaps(part.words, part.ends) if hashes else {}
    part.words, part.ends = array("I"), array("Q")
    return _Done(part, bands, low, seen, lines, size)
