"""Token ids and labels of data files and hub data sets, tokenized once and packed."""

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

import datasets
import numpy as np
from datasets import Dataset

from launcher.config import Config
from launcher.data.examples import read_examples, valid_examples
from launcher.data.hub import parse_hub
from launcher.data.kinds import Example
from launcher.data.mask import IGNORED, check_template, encode
from launcher.data.places import find_files, is_address, state_of
from launcher.data.reading import Reading, reading_of
from launcher.data.row import Row
from launcher.data.tables import without_nulls
from launcher.errors import DataError
from launcher.formats.registry import code_digest
from launcher.plan import Facts
from launcher.train.data.cache import ROWS, Progress, Shared
from launcher.train.data.packing import pack
from launcher.train.data.rows import Encoded, document_lengths, write_documents, write_rows
from launcher.train.upstream.datasets_fingerprint import fingerprint_of

_LARGE = 8 << 20
"""Size in bytes from which the digest of a file is cached, by its size and modification time."""
_EVERY = 64
"""Number of examples between two reports of progress."""


def shared_rows(
    shared: Shared, name: str, paths: str | Sequence[str], tokenizer: Any, config: Config
) -> Dataset:
    """The rows as of `tokenized`, made by rank 0 of the first run that needs them."""
    found = shared.rows(
        name,
        lambda: key_of(paths, tokenizer, config, shared.folder),
        lambda folder, progress: make_rows(folder, paths, tokenizer, config, progress),
    )
    return Dataset.from_file(str(found))


def tokenized(paths: str | Sequence[str], tokenizer: Any, config: Config) -> Dataset:
    """The examples as rows of input_ids and labels, cut at model.max_length; seq_lengths are the lengths of the documents.

    Several paths are those of data.sources. Examples without a trained token after the cut are left out; DataError if none
    remains.
    """
    with tempfile.TemporaryDirectory() as name:
        make_rows(Path(name), paths, tokenizer, config, lambda count: None)
        return Dataset.from_file(str(Path(name) / ROWS), in_memory=True)


def make_rows(
    folder: Path, paths: str | Sequence[str], tokenizer: Any, config: Config, progress: Progress
) -> dict[str, Any]:
    """Counts of rows, documents and tokens, after the rows are written into the folder."""
    numbers: list[int] = []
    ends: list[int] = []
    documents = folder / "documents.arrow"

    def every() -> Iterator[Encoded]:
        count = 0
        for path, _, reading in sources_of(paths, config):
            first = count
            for encoded in _encoded(path, reading, tokenizer, config, progress):
                count += 1
                yield encoded
            if count == first:
                raise DataError(
                    f"{path}: no example has a trained token within model.max_length={config.model.max_length}; raise it"
                )
            ends.append(count)

    write_documents(documents, every())
    for first, end, (_, weight, _) in zip([0, *ends], ends, sources_of(paths, config), strict=False):
        numbers += repeat(list(range(first, end)), weight, config.seed)
    lengths = document_lengths(documents)[np.array(numbers)].tolist()
    rows = [[number] for number in numbers]
    if config.trainer.packing:
        packed = pack(lengths, config.model.max_length, config.seed)
        rows = [[numbers[document] for document in row] for row in packed]
    counts: dict[str, Any] = write_rows(folder / ROWS, documents, rows)
    documents.unlink()
    return {**counts, "filled": round(counts["tokens"] / (counts["rows"] * counts["longest"]), 4)}


def key_of(paths: str | Sequence[str], tokenizer: Any, config: Config, notes: Path) -> dict[str, Any]:
    """Everything that determines the rows, so that different rows have different keys. `notes` caches digests of files."""
    return {
        "data": [
            [_data_digest(path, notes), weight, repr(reading)]
            for path, weight, reading in sources_of(paths, config)
        ],
        "tokenizer": tokenizer_digest(tokenizer),
        "max_length": config.model.max_length,
        "packing": config.trainer.packing,
        "assistant_only_loss": config.trainer.assistant_only_loss,
        "seed": config.seed,
        "code": f"{_code_digest()}{code_digest()}",
        "versions": {name: version(name) for name in ("transformers", "tokenizers", "jinja2", "pyarrow")},
    }


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


def sources_of(paths: str | Sequence[str], config: Config) -> list[tuple[str, float, Reading]]:
    """(path, weight, how its rows are read) of each training set, or of the single file."""
    if isinstance(paths, str):
        return [(paths, 1.0, reading_of(config.data))]
    sources = config.data.sources
    return [
        (path, one.weight, reading_of(config.data, at))
        for at, (path, one) in enumerate(zip(paths, sources, strict=True))
    ]


def _encoded(
    path: str, reading: Reading, tokenizer: Any, config: Config, progress: Progress
) -> Iterator[Encoded]:
    for count, (line, example) in enumerate(examples_of(path, reading)):
        if count % _EVERY == 0:
            progress(count)
        row = encode(example, tokenizer, config.trainer.assistant_only_loss, f"{path}, line {line}")
        row = {name: values[: config.model.max_length] for name, values in row.items()}
        if any(label != IGNORED for label in row["labels"][1:]):  # the first token is never predicted
            yield row


def check_renders(facts: Facts, tokenizer: Any, config: Config) -> None:
    """DataError if the data needs a chat template and the model has none. Call it before the weights are loaded, which takes
    minutes. The first row of each file suffices, because all rows of a file are of one kind."""
    if tokenizer.chat_template:
        return
    held_out = sources_of(facts.eval_path, config) if facts.eval_path else []
    for path, _, reading in [*sources_of(facts.data_sources or facts.data_path, config), *held_out]:
        for line, example in itertools.islice(examples_of(path, reading), 1):
            check_template(example, tokenizer, f"{path}, line {line}")


def examples_of(path: str, reading: Reading) -> Iterator[tuple[int, Example]]:
    """Line and common form of every valid row of a file or hub data set.

    DataError for the first invalid one, or, if they may be left out, at the end if they are too many.
    """
    if not path.startswith("hub:"):
        yield from read_examples(path, reading)
        return
    rows = (Row(number, without_nulls(value)) for number, value in enumerate(_from_hub(path), start=1))
    yield from valid_examples(rows, path, "row", reading)


def _from_hub(path: str) -> Any:
    name = parse_hub(path)
    try:
        return datasets.load_dataset(name.name, name.subset, split=name.split, revision=name.revision)
    except (OSError, ValueError) as error:  # the errors of datasets are subclasses of these
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"data.path={path} cannot be read from the hub on this node ({reason})") from None


def _data_digest(path: str, notes: Path) -> str:
    """A digest of the content of a file or hub data set. A large file is read again only after it has changed."""
    if path.startswith("hub:"):
        return fingerprint_of(_from_hub(path))
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
    return note.read_text()


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
    own = [here / f"{name}.py" for name in ("tokens", "packing", "rows")]
    files = [*sorted((here.parents[1] / "data").glob("*.py")), *own]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
