"""Encoded examples as training rows, in an Arrow file that every rank maps into memory."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from launcher.data.mask import IGNORED

Encoded = dict[str, list[int]]
_LIST = pa.list_(pa.int32())
_DOCUMENTS = pa.schema([("input_ids", _LIST), ("labels", _LIST)])
_ROWS = pa.schema([*_DOCUMENTS, pa.field("seq_lengths", _LIST), pa.field("trained", pa.int32())])
_BATCH = 512


def write_documents(path: Path, documents: Iterable[Encoded]) -> None:
    """Writes the documents in batches, so that at most a few hundred are in memory."""
    with _writer(path, _DOCUMENTS) as writer:
        held: list[Encoded] = []
        for document in documents:
            held.append(document)
            if len(held) == _BATCH:
                writer.write(pa.RecordBatch.from_pylist(held, schema=_DOCUMENTS))
                held = []
        if held:
            writer.write(pa.RecordBatch.from_pylist(held, schema=_DOCUMENTS))


def write_rows(path: Path, documents: Path, rows: Sequence[Sequence[int]]) -> dict[str, int]:
    """Counts, after the rows are written; each row is the concatenation of the documents with these numbers.

    The first token of a document has no label, because it would be predicted from the previous document.
    """
    table = pa.ipc.open_stream(pa.memory_map(str(documents))).read_all()
    counts = {"rows": len(rows), "documents": 0, "tokens": 0, "trained_tokens": 0, "longest": 0}
    with _writer(path, _ROWS) as writer:
        for first in range(0, len(rows), _BATCH):
            batch = _batch(table, rows[first : first + _BATCH])
            writer.write(batch)
            lengths = np.diff(batch["input_ids"].offsets.to_numpy())
            counts["documents"] += len(batch["seq_lengths"].values)
            counts["tokens"] += int(lengths.sum())
            counts["trained_tokens"] += int(batch["trained"].to_numpy().sum())
            counts["longest"] = max(counts["longest"], int(lengths.max()))
    return counts


def document_lengths(documents: Path) -> np.ndarray:
    """Number of tokens of every document."""
    table = pa.ipc.open_stream(pa.memory_map(str(documents))).read_all()
    return pa.compute.list_value_length(table["input_ids"]).to_numpy()


class Rows:
    """The rows of a file of write_rows by their number, as arrays in the mapped file. One extra row follows the last: a copy
    of it without labels, so that nothing of it is trained on."""

    def __init__(self, dataset: Any) -> None:
        self._batches = [batch for batch in dataset.data.table.to_batches() if batch.num_rows]
        self._starts = list(accumulate((batch.num_rows for batch in self._batches), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        if number == len(self):
            row = self[number - 1]
            return {**row, "labels": np.full_like(row["labels"], IGNORED)}
        at = bisect_right(self._starts, number) - 1
        inside = number - self._starts[at]
        names = ("input_ids", "labels", "seq_lengths")
        return {name: self._batches[at].column(name)[inside].values.to_numpy() for name in names}


class RowCounts:
    """Counts of every row: its tokens, its trained tokens, and the token pairs of attention."""

    def __init__(self, dataset: Any) -> None:
        """`dataset` is read from a file of write_rows."""
        table = dataset.data.table
        documents = pa.compute.list_value_length(table["seq_lengths"]).to_numpy().astype(np.int64)
        ends = np.concatenate([[0], documents.cumsum()])
        lengths = np.concatenate([chunk.values.to_numpy() for chunk in _lists(table["seq_lengths"])]).astype(
            np.int64
        )
        self.tokens = np.add.reduceat(lengths, ends[:-1])
        self.pairs = np.add.reduceat(lengths * (lengths + 1) // 2, ends[:-1])
        self.trained = table["trained"].to_numpy().astype(np.int64)


def _lists(column: Any) -> Iterator[Any]:
    """The chunks of a column of lists, each with only its own values."""
    for chunk in column.chunks:
        if len(chunk):
            yield pa.ListArray.from_arrays(
                pa.array(chunk.offsets.to_numpy() - chunk.offsets[0].as_py()), chunk.flatten()
            )


def _batch(table: Any, rows: Sequence[Sequence[int]]) -> Any:
    taken = table.take(pa.array([document for row in rows for document in row])).combine_chunks()
    ids, labels = (pa.concat_arrays(list(taken[name].chunks)) for name in ("input_ids", "labels"))
    lengths = pa.compute.list_value_length(ids).to_numpy()
    starts = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    cuts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    values = labels.flatten().to_numpy().copy()
    values[starts[:-1]] = IGNORED
    ends = starts[cuts]
    trained = np.add.reduceat(values != IGNORED, ends[:-1], dtype=np.int32)
    return pa.RecordBatch.from_arrays(
        [
            pa.ListArray.from_arrays(pa.array(ends), ids.flatten()),
            pa.ListArray.from_arrays(pa.array(ends), pa.array(values)),
            pa.ListArray.from_arrays(pa.array(cuts), pa.array(lengths.astype(np.int32))),
            pa.array(trained),
        ],
        schema=_ROWS,
    )


@contextmanager
def _writer(path: Path, schema: Any) -> Iterator[Any]:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        yield writer
