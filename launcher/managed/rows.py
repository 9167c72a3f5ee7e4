"""Checked rows in OpenAI's format, in a file that is named after its SHA-256."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.data.convert import write_row
from launcher.data.examples import read_examples
from launcher.data.findings import BrokenRow
from launcher.data.kinds import kind_of
from launcher.errors import DataError
from launcher.managed.methods import METHODS

LEAST = 10
"""Minimum number of rows of a training file. Source: OpenAI's fine-tuning guide."""
_BYTES_PER_TOKEN, _TOKENS_PER_TURN = 4, 4
"""An estimate for English text. Source: OpenAI's help page on tokens; its cookbook on counting chat tokens."""


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file that is ready for the upload."""

    path: Path
    sha256: str
    rows: int
    tokens: int
    """Estimated from the number of bytes of the texts."""


def prepare(source: Path, folder: Path, method: str, *, least: int = LEAST) -> PreparedFile:
    """A file with every row of `source`, of any format, in the method's format; DataError names a line that does not fit."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{source.name}.{os.getpid()}"
    digest, rows, tokens = hashlib.sha256(), 0, 0
    try:
        with temporary.open("wb") as file:
            for line, example in read_examples(source):
                try:
                    row = _pair(example) if METHODS[method].rows == "pair" else write_row(example, "openai")
                    _check_turns(row)
                except BrokenRow as fault:
                    raise DataError(f"{source}, line {line}: {fault.message}") from None
                text = json.dumps(row, ensure_ascii=False).encode() + b"\n"
                digest.update(text)
                file.write(text)
                rows, tokens = rows + 1, tokens + _tokens(row)
        if rows < least:
            raise DataError(
                f"{source} holds {rows} rows, but a fine-tuning file needs at least {least}; add more rows"
            )
        target = folder / f"{digest.hexdigest()[:16]}.jsonl"
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return PreparedFile(target, digest.hexdigest(), rows, tokens)


def _pair(example: dict[str, Any]) -> dict[str, Any]:
    """A preference pair in OpenAI's format, with one assistant turn for each output. Source: OpenAI's guide to direct
    preference optimization."""
    if kind_of(example) != "pair":
        raise BrokenRow(
            "format", f"a {kind_of(example)} row has no rejected answer, which --method dpo needs"
        )
    sides = {
        name: write_row({"messages": example[name]}, "openai")["messages"]
        for name in ("prompt", "chosen", "rejected")
    }
    for name in ("chosen", "rejected"):
        if len(sides[name]) != 1:
            raise BrokenRow("format", f"{name} has {len(sides[name])} turns; --method dpo takes one answer")
    tools = {"tools": example["tools"]} if "tools" in example else {}
    given = [{key: value for key, value in turn.items() if key != "weight"} for turn in sides["prompt"]]
    return {
        "input": {"messages": given, **tools},
        "preferred_output": sides["chosen"],
        "non_preferred_output": sides["rejected"],
    }


def _turns(row: dict[str, Any]) -> list[dict[str, Any]]:
    if "messages" in row:
        return row["messages"]
    return [*row["input"]["messages"], *row["preferred_output"], *row["non_preferred_output"]]


def _check_turns(row: dict[str, Any]) -> None:
    for turn in _turns(row):
        for name in ("reasoning_content", "thinking"):
            if name in turn:
                raise BrokenRow("format", f"OpenAI's format has no {name}; take it out")


def _tokens(row: dict[str, Any]) -> int:
    texts = [turn.get("content") or json.dumps(turn.get("tool_calls", "")) for turn in _turns(row)]
    return sum(_TOKENS_PER_TURN + len(text.encode()) // _BYTES_PER_TOKEN for text in texts)
