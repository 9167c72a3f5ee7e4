"""Counts the rows of a part of a data file. Nothing here needs numpy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from launcher.data.astext import is_python
from launcher.data.examples import canonical
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example, kind_of
from launcher.data.part import SYSTEMS, Part, bucket
from launcher.data.read import read_stored
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.row import Row
from launcher.data.tool_results import mismatches
from launcher.data.transcript import is_chat, speaker_of
from launcher.data.turns import ASSISTANT_FIRST, is_trained
from launcher.masking import LOOKS as SECRET
from launcher.masking import STARTS as SECRET_STARTS

# Words: runs of ASCII letters and digits and of letters of two bytes or of the scripts in E0 and E1. The scripts from E3
# on (Chinese, Japanese, Korean) use few spaces or none, so each of their characters is a word.
_WORD = re.compile(
    rb"(?:[0-9a-z]|[\xc3-\xdf][\x80-\xbf]|[\xe0\xe1][\x80-\xbf]{2})+|[\xe3-\xf4][\x80-\xbf]{2,3}"
)

_GARBLED = re.compile(
    rb"\xc3\x83(?:\xc2[\x80-\xbf]|\xc5[\x92\x93\xa0\xa1\xb8\xbd\xbe])|\xc3\x82\xc2[\xa0-\xbf]|\xc3\xa2\xe2\x82\xac"
)
"""UTF-8 that was read as Windows-1252 and written as UTF-8 again: Ã with a sign, Â with a sign, and â€."""

_SECRET = re.compile(rb"%s|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----" % SECRET.pattern.encode())
_SECRET_STARTS = tuple(start.encode() for start in (*SECRET_STARTS, "PRIVATE KEY-----"))
_ADDRESS = re.compile(rb"(?<=[A-Za-z0-9._+-])@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2}")

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
    if any(start in text for start in _SECRET_STARTS) and _SECRET.search(text):
        part.add_mark("secret", line)
    if b"@" in text and _ADDRESS.search(text):
        part.add_mark("address", line)
    parts = example.get("parts")
    if "text" in example:
        size = len(example["text"])
        part.texts += 1
        part.characters += size
        part.trained += sum(len(text) for text, trained in parts if trained) if parts else size
        said = example["text"]
        if kind == "text" and not parts and is_chat(said):
            part.add_mark("chat_as_text", line)
        elif not parts and (speaker := speaker_of(said)):
            part.add_mark(f"turn of {speaker}", line)
    else:
        said = _measure_turns(part, line, kind, example, counting.rendered)
        if counting.estimated and kind != "classified":
            _check_answer_cut(part, line, example, counting)
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
        splits = kind == "text" and not parts
        part.truncated += not splits
        part.split += splits
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
    if kind in ("chat", "labelled") and turns[-1]["content"]:
        part.answers.append(crc32(turns[-1]["content"].strip().lower().encode()))
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


def _check_answer_cut(part: Part, line: int, example: Example, counting: Counting) -> None:
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
