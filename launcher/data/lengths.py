"""The lengths of examples in tokens, and the share that is trained on: counted with a tokenizer, or estimated without one."""

from collections import Counter
from pathlib import Path
from typing import Any

from launcher.data.mask import IGNORED, encode
from launcher.data.part import BUCKETS, Counting, Part, bucket
from launcher.data.places import find_files, size_of
from launcher.data.storage import BOM, read_head

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


def estimate(part: Part, counting: Counting) -> dict[str, Any]:
    """Lengths from bytes of text, and the trained share from characters."""
    good = len(part.lines)
    return {
        "basis": f"estimated: {counting.bytes_per_token:g} bytes a token",
        "examples": good,
        "max_length": counting.max_length,
        "histogram": histogram(part.lengths),
        "truncated": part.truncated,
        "truncated_share": part.truncated / good if good else 0.0,
        "trained_share": part.trained / part.characters if part.characters else 0.0,
    }


def measure(part: Part, max_length: int, tokenizer: Any, assistant_only: bool) -> dict[str, Any]:
    """Lengths and trained share by the model's own tokenizer and template."""
    lengths: Counter[int] = Counter()
    total = trained = truncated = cut = 0
    chosen = sorted(part.kept, key=lambda kept: kept[0])[:TOKENIZED]
    for _, line, example in chosen:
        encoded = encode(example, tokenizer, assistant_only, f"line {line}")
        size = len(encoded["input_ids"])
        lengths[bucket(size)] += 1
        labels = encoded["labels"][:max_length]
        total += len(labels)
        trained += sum(label != IGNORED for label in labels)
        truncated += size > max_length
        cut += max(size - max_length, 0)
    return {
        "basis": "counted" if len(chosen) == len(part.lines) else f"counted on {len(chosen)} examples",
        "examples": len(chosen),
        "max_length": max_length,
        "histogram": histogram(lengths),
        "truncated": truncated,
        "truncated_share": truncated / len(chosen) if chosen else 0.0,
        "tokens_cut_share": cut / (total + cut) if total else 0.0,
        "trained_share": trained / total if total else 0.0,
    }


def histogram(lengths: Counter[int]) -> dict[str, int]:
    """Examples by length in tokens, from the shortest to the longest bucket that holds any."""
    names = [*(f"<={end}" for end in BUCKETS), f">{BUCKETS[-1]}"]
    used = [index for index, number in lengths.items() if number]
    return {names[index]: lengths[index] for index in range(min(used), max(used) + 1)} if used else {}
