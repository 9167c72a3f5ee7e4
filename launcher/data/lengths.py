"""The lengths of examples in tokens, and the share that is trained on: counted with a tokenizer, or estimated without one."""

from pathlib import Path
from typing import Any

from launcher.data.counting import Counting
from launcher.data.cut import Cut, Encoded
from launcher.data.kinds import Example, kind_of
from launcher.data.mask import IGNORED, check_template, encode
from launcher.data.part import Part, bucket, histogram
from launcher.data.places import find_files, size_of
from launcher.data.printed import Tokens
from launcher.data.rendering import problems
from launcher.data.storage import BOM, read_head
from launcher.errors import DataError

TOKENIZED = 5000
"""Number of examples that are tokenized at most; the shares of larger files are estimated from them."""


def stride(place: str | Path, wanted: int) -> int:
    """The N with which every Nth row is kept for tokenizing and for reading, so that about `wanted` are kept; 0 keeps none."""
    if not wanted:
        return 0
    files = find_files(place)
    head = read_head(files[0]).removeprefix(BOM)
    rows = sum(size_of(file) for file in files) / max(len(head) / max(head.count(b"\n"), 1), 1)
    return max(1, int(rows / wanted))


def no_tokens() -> Tokens:
    """The lengths of no examples, before they are counted."""
    return {
        "basis": "not counted",
        "examples": 0,
        "max_length": 0,
        "histogram": {},
        "truncated": 0,
        "truncated_share": 0.0,
        "trained_share": 0.0,
    }


def estimate(part: Part, counting: Counting) -> Tokens:
    """Lengths from bytes of text, and the trained share from characters."""
    good = len(part.lines)
    return {
        "basis": f"estimated: {counting.bytes_per_token:g} bytes a token",
        "examples": good,
        "max_length": counting.max_length,
        "histogram": histogram(part.lengths),
        "truncated": part.truncated,
        "truncated_share": part.truncated / good if good else 0.0,
        "split": part.split,
        "trained_share": part.trained / part.characters if part.characters else 0.0,
    }


def measure(part: Part, max_length: int, tokenizer: Any, assistant_only: bool) -> Tokens:
    """Lengths and trained share by the model's own tokenizer and template, counted as the ranks count them.

    The part gets a finding for each row that the template refuses, shows in part, or renders without an end, and for each row
    that is left out.
    """
    cut = Cut()
    chosen = sorted(part.kept, key=lambda kept: kept[0])[:TOKENIZED]
    for _, line, example in sorted(chosen, key=lambda kept: kept[1]):
        check_template(example, tokenizer, f"line {line}")
        found = problems(example, tokenizer)
        merged: list[str] = []
        if all(rule != "template" for rule, _ in found):
            try:
                encoded = encode(example, tokenizer, assistant_only, "", merged)
            except DataError as error:
                found.append(("template", str(error).removeprefix(": ")))
            else:
                _fit(part, line, cut, example, encoded, max_length)
        if merged:
            found.append(("merged_start", _merged(merged[0])))
        for rule, message in found:
            part.add_finding(rule, line, message)
    return {
        "basis": "counted" if len(chosen) == len(part.lines) else f"counted on {len(chosen)} examples",
        "examples": len(chosen),
        "max_length": max_length,
        "histogram": histogram(cut.lengths),
        "truncated": cut.cut + cut.left_out,
        "truncated_share": (cut.cut + cut.left_out) / len(chosen) if chosen else 0.0,
        "tokens_cut_share": cut.tokens_cut / (cut.tokens + cut.tokens_cut) if cut.tokens else 0.0,
        "split": cut.split,
        "left_out": cut.left_out,
        "trained_share": cut.trained_tokens / cut.tokens if cut.tokens else 0.0,
    }


def render_only(part: Part, template: Any) -> None:
    """Adds the findings that need only the model's chat template, of the rows that are kept."""
    for _, line, example in sorted(part.kept, key=lambda kept: kept[1]):
        check_template(example, template, f"line {line}")
        for rule, message in problems(example, template):
            part.add_finding(rule, line, message)


def _fit(part: Part, line: int, cut: Cut, example: Example, encoded: Encoded, max_length: int) -> None:
    size = len(encoded["input_ids"])
    if kind_of(example) == "prompt":  # nothing of a prompt is trained on; its answers are generated
        cut.lengths[bucket(size)] += 1
        cut.cut += size > max_length
        return
    if not cut.fit(example, encoded, max_length) and any(label != IGNORED for label in encoded["labels"]):
        part.add_finding(
            "answer_cut",
            line,
            f"no answer begins within model.max_length={max_length} of its {size:,} tokens, so the row is left out; raise "
            "model.max_length, or shorten the row",
        )


def _merged(token: str) -> str:
    return (
        f"the token {token!r} holds both the start of the answer and the end of the text before it, so a prompt that ends "
        "there is tokenized differently; use a template whose generation prompt ends with a token of its own "
        "(model.chat_template)"
    )
