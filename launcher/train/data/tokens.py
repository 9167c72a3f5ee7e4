"""Token ids and labels of data files and hub data sets, tokenized once and packed."""

import dataclasses
import functools
import hashlib
import itertools
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from launcher.config import Config
from launcher.data.cut import Cut
from launcher.data.kinds import Example
from launcher.data.mask import check_template, encode
from launcher.data.places import find_files, is_address, state_of
from launcher.data.portion import asked_portion
from launcher.errors import DataError
from launcher.formats.registry import code_digest
from launcher.plan import Facts
from launcher.train.data.cache import ROWS, Progress, RowStore
from launcher.train.data.encoders import ALONE, Encoders
from launcher.train.data.packing import pack
from launcher.train.data.rows import Encoded, document_lengths, write_documents, write_rows
from launcher.train.data.sources import (
    EVAL,
    TRAIN,
    DataSource,
    chosen_sources,
    examples_of,
    from_hub,
    sources_of,
)
from launcher.train.upstream.datasets_fingerprint import fingerprint_of

_LARGE = 8 << 20
"""Size in bytes from which the digest of a file is cached, by its size and modification time."""
_EVERY = 64
"""Number of examples between two reports of progress."""


def shared_rows(
    shared: RowStore, name: str, paths: str | Sequence[str], tokenizer: Any, config: Config
) -> Dataset:
    """The rows of `tokenized`, made by rank 0 of the first run that needs them."""
    found = shared.rows(
        name,
        lambda: key_of(name, paths, tokenizer, config, shared.folder),
        lambda folder, progress: make_rows(folder, name, paths, tokenizer, config, progress, shared.encoders),
    )
    return Dataset.from_file(str(found))


def tokenized(paths: str | Sequence[str], tokenizer: Any, config: Config) -> Dataset:
    """The examples as rows of input_ids and labels, cut at model.max_length; seq_lengths are the lengths of the documents.

    Several paths are those of data.sources. A long plain text becomes several documents. Examples without a trained token after
    the cut are left out; DataError if none remains.
    """
    with tempfile.TemporaryDirectory() as name:
        make_rows(Path(name), TRAIN, paths, tokenizer, config, lambda count: None)
        return Dataset.from_file(str(Path(name) / ROWS), in_memory=True)


def make_rows(
    folder: Path,
    name: str,
    paths: str | Sequence[str],
    tokenizer: Any,
    config: Config,
    progress: Progress,
    encoders: Encoders = ALONE,
) -> dict[str, Any]:
    """Counts of rows, documents and tokens, after the rows of the set, train or eval, are written into the folder."""
    sources = chosen_sources(name, paths, config)
    numbers: list[int] = []
    ends: list[int] = []
    cut = Cut()
    documents = folder / "documents.arrow"

    def every() -> Iterator[Encoded]:
        count = 0
        for source in sources:
            first = count
            for encoded in _encoded(source, tokenizer, config, cut, progress, encoders):
                count += 1
                yield encoded
            if count == first:
                raise DataError(
                    f"{source.path}: no example has a trained token within model.max_length={config.model.max_length}; raise it"
                )
            ends.append(count)

    write_documents(documents, every())
    for first, end, source in zip([0, *ends], ends, sources, strict=False):
        numbers += repeat(list(range(first, end)), source.weight, config.seed)
    lengths = document_lengths(documents)[np.array(numbers)].tolist()
    rows = [[number] for number in numbers]
    if config.trainer.packing:
        packed = pack(lengths, config.model.max_length, config.seed)
        rows = [[numbers[document] for document in row] for row in packed]
    counts: dict[str, Any] = write_rows(folder / ROWS, documents, rows)
    documents.unlink()
    counts |= cut.to_dict()
    return {**counts, "filled": round(counts["tokens"] / (counts["rows"] * counts["longest"]), 4)}


def key_of(
    name: str, paths: str | Sequence[str], tokenizer: Any, config: Config, notes: Path
) -> dict[str, Any]:
    """Everything that determines the rows, so that different rows have different keys. `notes` caches digests of files."""
    return {
        "data": [
            [_data_digest(path, notes), weight, repr(reading)]
            for path, weight, reading in sources_of(paths, config)
        ],
        "portion": _portion_key(name, config),
        "tokenizer": tokenizer_digest(tokenizer),
        "max_length": config.model.max_length,
        "packing": config.trainer.packing,
        "assistant_only_loss": config.trainer.assistant_only_loss,
        "seed": config.seed,
        "code": f"{_code_digest()}{code_digest()}",
        "versions": {name: version(name) for name in ("transformers", "tokenizers", "jinja2", "pyarrow")},
    }


def _portion_key(name: str, config: Config) -> dict[str, Any]:
    """What decides which rows of the files this set uses."""
    portion = asked_portion(config)
    if portion.eval_fraction is not None:
        return {"set": name, **dataclasses.asdict(portion)}
    return {"most": portion.eval_max_samples if name == EVAL else portion.max_samples}


def tokenizer_digest(tokenizer: Any) -> str:
    """A digest of the tokenizer's vocabulary, rules, special tokens and chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    parts = (
        type(tokenizer).__name__,
        rules,
        repr(tokenizer.chat_template),
        repr(tokenizer.special_tokens_map),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def repeat(rows: list[Any], weight: float, seed: int) -> list[Any]:
    """Every row floor(weight) times, and a random sample for the fractional part of `weight`; at least one row."""
    whole = int(weight)
    rest = round((weight - whole) * len(rows))
    chosen = sorted(random.Random(seed).sample(range(len(rows)), rest))
    return rows * whole + [rows[index] for index in chosen] or rows[:1]


def _encoded(
    source: DataSource, tokenizer: Any, config: Config, cut: Cut, progress: Progress, encoders: Encoders
) -> Iterator[Encoded]:
    def encode_one(line: int, example: Example) -> Encoded:
        return encode(example, tokenizer, config.trainer.assistant_only_loss, f"{source.path}, line {line}")

    for count, (_, example, row) in enumerate(encoders.map(encode_one, source.examples())):
        if count % _EVERY == 0:
            progress(count)
        yield from cut.fit(example, row, config.model.max_length)


def check_renders(facts: Facts, tokenizer: Any, config: Config) -> None:
    """DataError if the data needs a chat template and the model has none. Call it before the weights are loaded, which takes
    minutes. The first row of each file suffices, because all rows of a file are of one kind."""
    if tokenizer.chat_template:
        return
    held_out = sources_of(facts.eval_path, config) if facts.eval_path else []
    for path, _, reading in [*sources_of(facts.data_sources or facts.data_path, config), *held_out]:
        for line, example in itertools.islice(examples_of(path, reading), 1):
            check_template(example, tokenizer, f"{path}, line {line}")


def _data_digest(path: str, notes: Path) -> str:
    """A digest of the content of a file or hub data set. A large file is read again only after it has changed."""
    if path.startswith("hub:"):
        return fingerprint_of(from_hub(path))
    files = find_files(path)
    if files != (path,):
        parts = "\0".join(f"{file}\0{_data_digest(file, notes)}" for file in files)
        return hashlib.sha256(parts.encode()).hexdigest()
    if is_address(path):
        return state_of(path)
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read on this node ({error.strerror}); is it on a shared disk?"
        ) from None
    if facts.st_size < _LARGE:
        return _digest(path)
    known = repr((path, facts.st_size, facts.st_mtime_ns, facts.st_ino))
    note = Path(notes, f"{hashlib.sha256(known.encode()).hexdigest()[:24]}.digest")
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f".{note.name}.{os.getpid()}")
        temporary.write_text(_digest(path))
        temporary.replace(note)
    return note.read_text(encoding="utf-8")


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def _code_digest() -> str:
    """A digest of the code that turns examples into rows, without that of the row formats."""
    here = Path(__file__).resolve().parent
    own = [here / f"{name}.py" for name in ("tokens", "packing", "rows", "sources")]
    files = [*sorted((here.parents[1] / "data").glob("*.py")), *own]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
