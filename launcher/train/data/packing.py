"""Packed training rows: which documents share a row, whether a model keeps them separate, and the batch that holds them.

Best fit, longest first, leaves little padding. No document attends to another.
"""

import inspect
import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

import torch

from launcher.data.mask import IGNORED
from launcher.errors import ConfigError

_SEPARATING_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""transformers' names of layers whose mask is derived from positions."""


def pack(lengths: Sequence[int], capacity: int, seed: int) -> list[list[int]]:
    """Rows as lists of document numbers, whose lengths add up to at most `capacity`; a longer document has its own row.

    Every document is put into the row in which it leaves the least room. Documents of the same length are shuffled by the seed.
    The order of rows has no meaning, because training shuffles them.
    Source: Johnson et al., Worst-case performance bounds for one-dimensional packing (SIAM J. Comput. 3, 1974): best fit
    decreasing needs at most 11/9 of the fewest rows.
    """
    order = list(range(len(lengths)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda document: -lengths[document])
    rows: list[list[int]] = []
    open_rows: dict[int, list[int]] = {}  # room -> rows with exactly this room
    rooms: list[int] = []  # the keys, ascending
    for document in order:
        length = lengths[document]
        at = bisect_left(rooms, length)
        if at == len(rooms):
            row, room = len(rows), capacity
            rows.append([])
        else:
            room = rooms[at]
            row = open_rows[room].pop()
            if not open_rows[room]:
                del open_rows[room], rooms[at]
        rows[row].append(document)
        left = room - length
        if left > 0:
            if left not in open_rows:
                open_rows[left] = []
                insort(rooms, left)
            open_rows[left].append(row)
    return rows


def check_packable(model: Any) -> None:
    """ConfigError for a model in which a document would attend to the previous one in its row.

    Such models have layers that carry a state along the row (Mamba, linear attention, convolutions), or take no position_ids,
    by which transformers separates the documents.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    others = sorted(set(getattr(config, "layer_types", None) or []) - _SEPARATING_LAYERS)
    if others:
        why = f"has layers of {', '.join(others)}, which carry a state from one document to the next"
    elif "position_ids" not in inspect.signature(type(base).forward).parameters:
        why = "takes no position_ids, by which documents are separated"
    else:
        return
    raise ConfigError(
        f"trainer.packing=true does not work with {config.model_type}: it {why}; use trainer.packing=false"
    )


class Collator:
    """Makes a batch of rows. Attention finds the documents by positions that begin at 0 in each of them.

    The batch has no mask, because transformers looks for such positions only without a mask and without a cache. Rows are
    padded on the right, where causal attention ignores the padding, so rows of one document need no mask either. A compiled
    model needs the same `length` in every batch. For kernels that take lengths (flash attention), all rows are concatenated
    into one, without padding. Ranks that share a row need a length that is a `multiple` of their number.
    """

    numbers_rows = False
    """Whether a batch has row_numbers, of the shape of input_ids: each token's row, -1 for padding."""

    def __init__(
        self, pad_token_id: int, *, varlen: bool = False, length: int | None = None, multiple: int = 1
    ) -> None:
        self.pad_token_id, self.varlen, self.length, self.multiple = pad_token_id, varlen, length, multiple

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """input_ids, labels and position_ids, each [rows, longest]; with varlen [1, all tokens], and the document lengths."""
        batch = self._batch(rows)
        if self.numbers_rows:
            batch["row_numbers"] = torch.full(batch["input_ids"].shape, -1)
            flat, first = batch["row_numbers"].view(-1), 0
            for number, row in enumerate(rows):
                flat[first : first + len(row["input_ids"])] = number
                first += len(row["input_ids"]) if self.varlen else batch["input_ids"].shape[1]
        return batch

    def _batch(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        ids = [torch.tensor(row["input_ids"], dtype=torch.int64) for row in rows]
        labels = [torch.tensor(row["labels"], dtype=torch.int64) for row in rows]
        lengths = [[int(length) for length in row["seq_lengths"]] for row in rows]
        if self.varlen:
            padding = -sum(len(row) for row in ids) % self.multiple
            if padding:  # a document of its own
                ids.append(torch.full((padding,), self.pad_token_id))
                labels.append(torch.full((padding,), IGNORED))
                lengths.append([padding])
            return _in_one_row(ids, labels, lengths)
        longest = self.length or max(len(row) for row in ids)
        longest += -longest % self.multiple
        batch = {
            "input_ids": torch.full((len(rows), longest), self.pad_token_id),
            "labels": torch.full((len(rows), longest), IGNORED),
            "position_ids": torch.empty((len(rows), longest), dtype=torch.int64),
        }
        for number, row in enumerate(ids):
            batch["input_ids"][number, : len(row)] = row
            batch["labels"][number, : len(row)] = labels[number]
            *before, last = lengths[number]
            positions = [*before, last + longest - len(row)]
            batch["position_ids"][number] = torch.cat([torch.arange(length) for length in positions])
        return batch


def _in_one_row(
    ids: list[torch.Tensor], labels: list[torch.Tensor], lengths: list[list[int]]
) -> dict[str, Any]:
    """The batch for kernels that take lengths, with the names and types of transformers' flash attention."""
    every = torch.tensor([length for row in lengths for length in row])
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), every.cumsum(0)]).to(torch.int32)
    longest = int(every.max())
    return {
        "input_ids": torch.cat(ids)[None],
        "labels": torch.cat(labels)[None],
        "position_ids": torch.cat([torch.arange(int(length)) for length in every])[None],
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }
