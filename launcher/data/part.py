"""The counts over a part of a data file; the counts of all parts add up to those of the file."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from launcher.data.classes import ClassTally
from launcher.data.findings import BrokenRow, Finding
from launcher.data.kinds import Example

FINDINGS_PER_RULE = 100
"""Number of violations that are listed for each rule; all are counted."""
SYSTEMS = 1000
"""Number of different system prompts that are counted separately."""
BUCKETS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Upper ends of the buckets of the length histogram, in tokens; one more bucket holds longer examples."""


@dataclass(slots=True)
class Part:
    """Counts over some rows; line numbers are physical lines."""

    rows: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    counts: Counter[str] = field(default_factory=Counter[str])
    """Violations by rule, listed or not."""
    left_out: Counter[str] = field(default_factory=Counter[str])
    """Invalid rows by rule, if they may be left out; their findings are in `bad`."""
    bad: list[Finding] = field(default_factory=list[Finding])
    dropped: Counter[str] = field(default_factory=Counter[str])
    """Number of rows for each key that was left out."""
    as_text: Counter[str] = field(default_factory=Counter[str])
    """Number of rows for each key whose list of turns was written as text, with the form of the text."""
    mapped: Counter[str] = field(default_factory=Counter[str])
    """Number of rows that have each column which data.columns, data.drop or data.keep names."""
    formats: Counter[str] = field(default_factory=Counter[str])
    firsts: dict[str, int] = field(default_factory=dict[str, int])
    """The first line of each format, and of each kind of example."""
    kinds: Counter[str] = field(default_factory=Counter[str])
    systems: Counter[str] = field(default_factory=Counter[str])
    """Number of rows by the beginning of their system prompt; "" means no system prompt."""
    marked: Counter[str] = field(default_factory=Counter[str])
    """Number of rows for each mark: a plain text that is a chat (chat_as_text) or a turn of some role, an answer that is the
    text of a list (list_as_text), a key or a token (secret), an e-mail address (address). `firsts` has the first line of
    each."""
    stops: int = 0
    """Faults after which the rest of the file cannot be read."""
    lost_nulls: int = 0
    """Rows of a table with null arguments of calls, which are read as absent."""
    texts: int = 0
    """Rows that are one text and no turns."""
    refusals: int = 0
    characters: int = 0
    trained: int = 0
    """Characters that are trained on."""
    lengths: Counter[int] = field(default_factory=Counter[int])
    """Examples by the index of their bucket."""
    truncated: int = 0
    split: int = 0
    """Plain texts that become several examples."""
    digests: array[int] = field(default_factory=lambda: array("Q"))
    """64-bit digest of each valid example; equal examples have equal digests."""
    lines: array[int] = field(default_factory=lambda: array("Q"))
    words: array[int] = field(default_factory=lambda: array("I"))
    """crc32 of every word outside of system prompts, over all valid examples in order."""
    ends: array[int] = field(default_factory=lambda: array("Q"))
    """Where each example's words end."""
    said: array[int] = field(default_factory=lambda: array("Q"))
    """64-bit digest of the words of each valid example; 0 without words. Case, spaces and punctuation do not change it."""
    answers: array[int] = field(default_factory=lambda: array("I"))
    """crc32 of the last answer of each chat that ends with a text."""
    labels: Counter[bool] = field(default_factory=Counter[bool])
    """Good and bad answers."""
    classes: ClassTally = field(default_factory=ClassTally)
    """The classes of classified rows."""
    kept: list[tuple[int, int, Example]] = field(default_factory=list[tuple[int, int, Example]])
    """(digest, line, example) of the rows in the sample."""

    def add_finding(self, rule: str, line: int | None, message: str) -> None:
        """Counts a violation, and lists it if fewer than FINDINGS_PER_RULE are listed."""
        self.counts[rule] += 1
        if self.counts[rule] <= FINDINGS_PER_RULE:
            self.findings.append(Finding(rule, line, message))

    def add_mark(self, rule: str, line: int) -> None:
        """Counts a row for a finding about the whole file."""
        self.marked[rule] += 1
        self.firsts.setdefault(rule, line)

    def add_broken(self, fault: BrokenRow, line: int, skip: bool) -> None:
        """Counts an invalid row: as an error, or as one that is left out."""
        self.stops += fault.whole
        if not skip or fault.whole:
            self.add_finding(fault.rule, line, fault.message)
            return
        self.left_out[fault.rule] += 1
        if len(self.bad) < FINDINGS_PER_RULE:
            self.bad.append(Finding(fault.rule, line, fault.message))

    def add(self, other: Part, line_offset: int = 0) -> None:
        """Adds the counts of the next part, whose lines are counted from `line_offset`. Words are left out."""
        for finding in other.findings:
            if self.counts[finding.rule] < FINDINGS_PER_RULE:
                line = None if finding.line is None else finding.line + line_offset
                self.findings.append(Finding(finding.rule, line, finding.message))
                self.counts[finding.rule] += 1
                other.counts[finding.rule] -= 1
        for finding in other.bad[: FINDINGS_PER_RULE - len(self.bad)]:
            line = None if finding.line is None else finding.line + line_offset
            self.bad.append(Finding(finding.rule, line, finding.message))
        for name in (
            "counts",
            "left_out",
            "dropped",
            "as_text",
            "marked",
            "mapped",
            "formats",
            "kinds",
            "lengths",
            "labels",
        ):
            getattr(self, name).update(getattr(other, name))
        for name in (
            "rows",
            "stops",
            "texts",
            "lost_nulls",
            "refusals",
            "characters",
            "trained",
            "truncated",
            "split",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, line in other.firsts.items():
            self.firsts.setdefault(name, line + line_offset)
        for text, count in other.systems.items():
            if text in self.systems or len(self.systems) < SYSTEMS:
                self.systems[text] += count
        self.classes.add(other.classes, line_offset)
        self.digests.extend(other.digests)
        self.said.extend(other.said)
        self.answers.extend(other.answers)
        self.lines.extend(array("Q", [line + line_offset for line in other.lines]))
        self.kept += [(digest, line + line_offset, example) for digest, line, example in other.kept]


def bucket(tokens: float) -> int:
    """The index of the histogram bucket for a length."""
    return next((index for index, end in enumerate(BUCKETS) if tokens <= end), len(BUCKETS))


def histogram(lengths: Counter[int]) -> dict[str, int]:
    """Examples by length in tokens, from the shortest to the longest bucket that holds any."""
    names = [*(f"<={end}" for end in BUCKETS), f">{BUCKETS[-1]}"]
    used = [index for index, number in lengths.items() if number]
    return {names[index]: lengths[index] for index in range(min(used), max(used) + 1)} if used else {}
