"""The counts over a part of a data file; the counts of all parts add up to those of the file. Nothing here needs numpy."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from launcher.data.astext import is_python
from launcher.data.classes import ClassTally
from launcher.data.examples import canonical
from launcher.data.findings import BrokenRow, Finding
from launcher.data.kinds import Example, kind_of
from launcher.data.read import read_stored
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.row import Row
from launcher.data.tool_results import mismatches
from launcher.data.transcript import is_chat, speaker_of
from launcher.data.turns import ASSISTANT_FIRST, is_trained

FINDINGS_PER_RULE = 100
"""Number of violations that are listed for each rule; all are counted."""
SYSTEMS = 1000
"""Number of different system prompts that are counted separately."""
BUCKETS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Upper ends of the buckets of the length histogram, in tokens; one more bucket holds longer examples."""

# Words: runs of ASCII letters and digits and of letters of two bytes or of the scripts in E0 and E1. The scripts from E3
# on (Chinese, Japanese, Korean) use few spaces or none, so each of their characters is a word.
_WORD = re.compile(
    rb"(?:[0-9a-z]|[\xc3-\xdf][\x80-\xbf]|[\xe0\xe1][\x80-\xbf]{2})+|[\xe3-\xf4][\x80-\xbf]{2,3}"
)
_GARBLED = re.compile(
    rb"\xc3\x83(?:\xc2[\x80-\xbf]|\xc5[\x92\x93\xa0\xa1\xb8\xbd\xbe])|\xc3\x82\xc2[\xa0-\xbf]|\xc3\xa2\xe2\x82\xac"
)
"""UTF-8 that was read as Windows-1252 and written as UTF-8 again: Ã with a sign, Â with a sign, and â€."""
_REFUSALS = (
    *(
        "i can't",
        "i can’t",
        "i cannot",
        "i'm unable",
        "i am unable",
        "i won't",
        "i'm sorry",
        "i am sorry",
        "i'm not able",
    ),
    *(
        "i don't know",
        "i don’t know",
        "i do not know",
        "i'm not sure",
        "i don't have",
        "i do not have",
        "not sure",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """How rows are read and measured."""

    reading: Reading = AS_IT_STANDS
    max_length: int = 2048
    bytes_per_token: float = 4.0
    """Bytes of text per token, used without a tokenizer. 4 holds for English within 20 %, for vocabularies above 32,000."""
    estimated: bool = True
    """No tokenizer counts afterwards, so what lies beyond max_length is estimated from bytes."""
    compare: bool = True
    """Collect the words of each example, by which duplicates and overlap are found."""
    rendered: bool = False
    """The model's template renders the kept examples afterwards, and finds what begins with the assistant."""
    keep_every: int = 0
    """Keep the examples whose digest is a multiple of this, for counting tokens and for reading; 0 keeps none."""


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
    """Rows by the key that was left out of them."""
    as_text: Counter[str] = field(default_factory=Counter[str])
    """Rows by the key whose list of turns arrived as text, with how."""
    mapped: Counter[str] = field(default_factory=Counter[str])
    """Rows by the column that they have, of those that data.columns, data.drop and data.keep name."""
    formats: Counter[str] = field(default_factory=Counter[str])
    firsts: dict[str, int] = field(default_factory=dict[str, int])
    """The first line of each format, and of each kind of example."""
    kinds: Counter[str] = field(default_factory=Counter[str])
    systems: Counter[str] = field(default_factory=Counter[str])
    """Number of rows by the beginning of their system prompt; "" means no system prompt."""
    marked: Counter[str] = field(default_factory=Counter[str])
    """Plain texts that are chats (chat_as_text) or a turn of a role, and answers that are a list's text (list_as_text); firsts
    has the lines."""
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
        self.lines.extend(array("Q", [line + line_offset for line in other.lines]))
        self.kept += [(digest, line + line_offset, example) for digest, line, example in other.kept]


def count(rows: Iterable[Row], counting: Counting) -> Part:
    """The counts of some rows."""
    part, named = Part(), counting.reading.named
    for row in rows:
        part.rows += 1
        try:
            if row.fault:
                raise row.fault
            found = read_stored(row, counting.reading)
            text = canonical(found.example)
        except BrokenRow as fault:
            part.add_broken(fault, row.line, counting.reading.skip)
            continue
        part.lost_nulls += row.lost_nulls
        if found.dropped:
            part.dropped.update(dict.fromkeys(found.dropped, 1))
        if found.as_text:
            part.as_text.update(dict.fromkeys(found.as_text, 1))
        if named:
            part.mapped.update(counting.reading.present(dict.fromkeys(row.header) | row.value))
        _measure(part, row.line, found.format, found.example, text, counting)
    return part


def _measure(part: Part, line: int, name: str, example: Example, text: bytes, counting: Counting) -> None:
    kind = kind_of(example)
    part.formats[name] += 1
    part.kinds[kind] += 1
    part.firsts.setdefault(name, line)
    part.firsts.setdefault(kind, line)
    digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    part.digests.append(digest)
    part.lines.append(line)
    if kind == "classified":
        part.classes.add_row(line, example)
    if b"\xef\xbf\xbd" in text or (b"\xc3" in text and _GARBLED.search(text)):
        part.add_mark("garbled", line)
    if "text" in example:
        size = len(example["text"])
        part.texts += 1
        part.characters += size
        part.trained += size
        said = example["text"]
        if kind == "text" and is_chat(said):
            part.add_mark("chat_as_text", line)
        elif speaker := speaker_of(said):
            part.add_mark(f"turn of {speaker}", line)
    else:
        said = _measure_turns(part, line, kind, example, counting.rendered)
        if counting.estimated and kind != "classified":
            _look_behind_cut(part, line, example, counting)
    if counting.compare:
        before = len(part.words)
        part.words.extend(words_in(said))
        mine = part.words[before:].tobytes()
        part.said.append(
            int.from_bytes(hashlib.blake2b(mine, digest_size=8).digest(), "little") if mine else 0
        )
    part.ends.append(len(part.words))
    size = len(text) - (
        sum(len(turn["content"].encode()) for turn in example["rejected"]) if kind == "pair" else 0
    )
    tokens = size / counting.bytes_per_token
    part.lengths[bucket(tokens)] += 1
    if tokens > counting.max_length:
        part.truncated += kind != "text"
        part.split += kind == "text"
    if counting.keep_every and digest % counting.keep_every == 0:
        part.kept.append((digest, line, example))


def _measure_turns(part: Part, line: int, kind: str, example: Example, rendered: bool) -> str:
    """The text of all turns outside of the system prompt; counts characters, prompts and refusals."""
    turns: list[dict[str, Any]] = [
        turn for name in ("messages", "prompt", "completion", "chosen") for turn in example.get(name, ())
    ]
    system = turns[0]["content"][:200] if turns[0]["role"] == "system" else ""
    if system in part.systems or len(part.systems) < SYSTEMS:
        part.systems[system] += 1
    answered = trained = 0
    for turn in turns:
        size = len(turn["content"]) + (len(str(turn["tool_calls"])) if "tool_calls" in turn else 0)
        part.characters += size
        if is_trained(turn):
            trained += size
        if turn["role"] == "assistant":
            content = turn["content"]
            if content[:160].lower().startswith(_REFUSALS):
                answered = 1
            if content[:1] in ("[", "{") and is_python(content):
                part.add_mark("list_as_text", line)
    part.trained += trained
    part.refusals += answered
    for message in mismatches(example):
        part.add_finding("tool_result", line, message)
    if kind == "labelled":
        part.labels[example["label"]] += 1
    if kind == "pair":
        if example["chosen"] == example["rejected"]:
            part.add_finding("same_pair", line, "chosen and rejected are the same")
        turns = [*turns, *example["rejected"]]
    elif kind == "chat" and turns[0]["role"] == "assistant" and not rendered:
        part.add_finding("assistant_first", line, ASSISTANT_FIRST)
    if kind == "chat" and not trained:
        part.add_finding("untrained_row", line, "every assistant turn has weight 0; remove the row")
    return " ".join(turn["content"] for turn in turns if turn["role"] != "system")


def _look_behind_cut(part: Part, line: int, example: Example, counting: Counting) -> None:
    """Adds a finding for a row whose answers all lie beyond the cut, so that the ranks leave it out."""
    turns: list[dict[str, Any]] = [
        turn for name in ("messages", "prompt", "completion", "chosen") for turn in example.get(name, ())
    ]
    before = 0
    for turn in turns:
        if is_trained(turn) and ("messages" in example or turn is turns[-1]):
            break
        before += len(turn["content"].encode())
    tokens = round(before / counting.bytes_per_token)
    if tokens > counting.max_length:
        part.add_finding(
            "answer_cut",
            line,
            f"the answer begins after about {tokens:,} tokens, beyond model.max_length={counting.max_length}, so the row is "
            "left out; raise model.max_length, or shorten the row",
        )


def words_in(text: str) -> Iterator[int]:
    """The crc32 of every word, in lower case and without punctuation."""
    return map(crc32, _WORD.findall(text.lower().encode()))


def bucket(tokens: float) -> int:
    """The index of the histogram bucket for a length."""
    return next((index for index, end in enumerate(BUCKETS) if tokens <= end), len(BUCKETS))


def histogram(lengths: Counter[int]) -> dict[str, int]:
    """Examples by length in tokens, from the shortest to the longest bucket that holds any."""
    names = [*(f"<={end}" for end in BUCKETS), f">{BUCKETS[-1]}"]
    used = [index for index, number in lengths.items() if number]
    return {names[index]: lengths[index] for index in range(min(used), max(used) + 1)} if used else {}
