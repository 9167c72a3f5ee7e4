"""Collating rows of token ids into a batch in which no document attends to another."""

from typing import Any

import torch

from launcher.data.mask import IGNORED


class Collator:
    """Makes a batch of rows. Attention finds the documents by positions that begin at 0 in each of them.

    The batch has no mask, because transformers looks for such positions only without a mask and without a cache. Rows are
    padded on the right, where causal attention ignores the padding, so rows of one document need no mask either. A compiled
    model needs the same `length` in every batch. For kernels that take lengths (flash attention), all rows are concatenated
    into one, without padding.
    """

    def __init__(self, pad_token_id: int, *, varlen: bool = False, length: int | None = None) -> None:
        self.pad_token_id, self.varlen, self.length = pad_token_id, varlen, length

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """input_ids, labels and position_ids, each [rows, longest]; with varlen [1, all tokens], and the document lengths."""
        ids = [torch.tensor(row["input_ids"], dtype=torch.int64) for row in rows]
        labels = [torch.tensor(row["labels"], dtype=torch.int64) for row in rows]
        lengths = [[int(length) for length in row["seq_lengths"]] for row in rows]
        if self.varlen:
            return _in_one_row(ids, labels, lengths)
        longest = self.length or max(len(row) for row in ids)
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
