"""A teacher's stored output on disk: written once per row, found again by the row's content.

Rows are found by a digest of their tokens, labels and documents, so the order, the weights and the share of the rows of a run
may differ from those of the command that stored them, and no row can get another row's output.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file

from launcher.data.mask import IGNORED
from launcher.data.stored_output import INDEX, StoredOutput
from launcher.errors import DataError

_FILE = 1 << 28
"""Bytes after which a new file is begun."""
_CHECKED_ROWS = 64
"""Rows that are looked for before training begins."""


def digest_of(row: dict[str, Any]) -> int:
    """64 bits of a digest of the row's tokens, labels and document lengths."""
    parts = (
        np.asarray(row[name], dtype=np.int32).tobytes() for name in ("input_ids", "labels", "seq_lengths")
    )
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part + b"|")
    return int.from_bytes(found.digest(), "little", signed=True)


def trained_tokens(row: dict[str, Any]) -> int:
    """Tokens of a row that the loss counts."""
    return int((np.asarray(row["labels"])[1:] != IGNORED).sum())


class Writer:
    """Writes the output of rows into an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[int, tuple[int, int, int]] = {}
        """Digest -> its file, its first token there, and its tokens."""
        self._held: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._tokens = self._bytes = self._files = 0

    def add(self, digest: int, ids: torch.Tensor, log_probs: torch.Tensor) -> None:
        """`ids`: [tokens, top_k], `log_probs`: [tokens, outcomes]."""
        self.rows[digest] = (self._files, self._tokens, len(ids))
        self._held.append((ids.to("cpu", torch.int32), log_probs.to("cpu", torch.float32)))
        self._tokens += len(ids)
        self._bytes += 4 * (ids.numel() + log_probs.numel())
        if self._bytes >= _FILE:
            self._write()

    def close(self) -> None:
        """Writes the rest, and the index."""
        if self._held:
            self._write()
        order = sorted(self.rows)
        places = torch.tensor([self.rows[one] for one in order], dtype=torch.int64)
        save_file({"digests": torch.tensor(order, dtype=torch.int64), "places": places}, self.folder / INDEX)

    def _write(self) -> None:
        ids, log_probs = (torch.cat(parts).contiguous() for parts in zip(*self._held, strict=True))
        save_file({"ids": ids, "log_probs": log_probs}, self.folder / name_of(self._files))
        self._held, self._tokens, self._bytes = [], 0, 0
        self._files += 1


class StoredRows:
    """The output of rows in a folder. A process opens its files when it first reads them."""

    def __init__(self, folder: str, taught: StoredOutput) -> None:
        self.folder, self.taught = Path(folder), taught
        index = load_file(self.folder / INDEX)
        self._digests, self._places = index["digests"], index["places"]
        self._open: dict[int, Any] = {}

    def of(self, row: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """(ids [tokens, top_k], log-probabilities [tokens, outcomes]) of the row's trained tokens; DataError if the row is
        not in the folder."""
        file, first, count = self._find(row)
        if file not in self._open:
            self._open[file] = safe_open(self.folder / name_of(file), framework="pt")
        part = slice(first, first + count)
        return tuple(self._open[file].get_slice(name)[part] for name in ("ids", "log_probs"))  # pyright: ignore

    def check(self, rows: Any) -> None:
        """DataError if one of some rows, spread over all of `rows` (by number), is not in the folder."""
        for number in sorted(set(np.linspace(0, len(rows) - 1, _CHECKED_ROWS).astype(int).tolist())):
            row = rows[number]
            if trained_tokens(row):
                self._find(row)

    def _find(self, row: dict[str, Any]) -> tuple[int, int, int]:
        digest, count = digest_of(row), trained_tokens(row)
        at = int(np.searchsorted(self._digests, digest))
        if at < len(self._digests) and self._digests[at] == digest and self._places[at][2] == count:
            return tuple(self._places[at].tolist())
        raise DataError(
            f"trainer.teacher_logits={self.folder} has no output for a row of {len(row['input_ids']):,} tokens of this run: it "
            "was stored for other rows, another tokenizer or another cut; run `python -m launcher data teach` again with the "
            "arguments of this run"
        )


class StoredCollator:
    """Adds the teacher's stored output to the batches of another collator, in the order of the batch's trained tokens.

    Log-probabilities are passed as integers with the same bits, because transformers casts floating-point inputs to
    bf16 under DeepSpeed (5.23, Trainer._prepare_input).
    """

    def __init__(self, collate: Any, stored: StoredRows) -> None:
        self.collate, self.stored = collate, stored

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch with teacher_ids [tokens, top_k] and teacher_bits [tokens, outcomes]."""
        taught = self.stored.taught
        found = [self.stored.of(row) for row in rows if trained_tokens(row)] or [
            (torch.zeros((1, taught.top_k), dtype=torch.int32), torch.zeros((1, taught.outcomes)))
        ]  # no trained token: the loss of one ignored token is 0
        ids, log_probs = (torch.cat(parts) for parts in zip(*found, strict=True))
        return {**self.collate(rows), "teacher_ids": ids, "teacher_bits": log_probs.view(torch.int32)}


def from_batch(inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, log-probabilities), taken out of a batch."""
    return inputs.pop("teacher_ids").long(), inputs.pop("teacher_bits").view(torch.float32)


def name_of(file: int) -> str:
    """The name of a numbered file."""
    return f"{file:05d}.safetensors"


def distinct(rows: Iterable[dict[str, Any]], known: dict[int, Any]) -> Iterable[tuple[int, dict[str, Any]]]:
    """(digest, row) of the rows with a trained token that are not `known` yet, each once."""
    for row in rows:
        digest = digest_of(row)
        if digest not in known and trained_tokens(row):
            known.setdefault(digest, None)
            yield digest, row
