"""Pairs, labelled answers and prompts as rows for trl's trainers: token ids, rendered by the model's own template."""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset

from launcher.config import Config
from launcher.data.kinds import Example, kind_of
from launcher.data.mask import IGNORED, encode, encode_prompt
from launcher.errors import DataError
from launcher.methods.registry import check_serves, find_method
from launcher.train.data.cache import ROWS, Progress
from launcher.train.data.sources import chosen_sources
from launcher.train.data.tokens import key_of, repeat
from launcher.train.methods.parts import RowParts

Row = dict[str, Any]
Finish = Callable[[list[Row]], list[Row]]
Encode = Callable[[Example, str], Iterator[Row]]
"""(example, its file and line) -> its rows: none if it is too long, several if it is split."""
_EVERY = 64
"""Number of examples between two reports of progress."""
_BATCH = 512
_NEAR = 64
"""Number of rows that are searched for another prompt."""


Sets = tuple[Dataset, Dataset | None]
"""The rows of the training set, and those of the evaluation set if there is one."""


def both(parts: RowParts, encode_one: Encode, finish: Finish = lambda rows: rows) -> Sets:
    """The rows of both sets."""
    train = rows_of(parts, "train", parts.training, encode_one, finish)
    held_out = rows_of(parts, "eval", parts.evaluation, encode_one, finish) if parts.evaluation else None
    return train, held_out


def rows_of(
    parts: RowParts,
    name: str,
    paths: str | Sequence[str],
    encode_one: Encode,
    finish: Finish = lambda rows: rows,
) -> Dataset:
    """The rows of one file, or of those of data.sources, made by rank 0 of the first run that needs them.

    `finish` gets all rows at once. DataError if a file has none within model.max_length.
    """
    found = parts.shared.rows(
        name,
        lambda: _key_of(parts, name, paths),
        lambda folder, progress: _make(folder, name, paths, parts, encode_one, finish, progress),
    )
    return Dataset.from_file(str(found))


def _key_of(parts: RowParts, name: str, paths: str | Sequence[str]) -> dict[str, Any]:
    """Everything that determines the rows."""
    config = parts.config
    method = find_method(config.trainer.kind)
    files = (__file__, str(importlib.import_module(method.module).__file__))
    own = {
        "trainer": config.trainer.kind,
        "loss_type": config.trainer.loss_type,
        "options": dict(config.trainer.options),
        "completion_length": method.completion_length(config),
        "code": hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:16],
    }
    return {**key_of(name, paths, parts.tokenizer, config, parts.shared.folder), "objective": own}


def _make(
    folder: Path,
    name: str,
    paths: str | Sequence[str],
    parts: RowParts,
    encode_one: Encode,
    finish: Finish,
    progress: Progress,
) -> dict[str, int]:
    """The number of rows, after they are written into the folder."""
    config = parts.config
    rows: list[Row] = []
    examples = left_out = 0
    for source in chosen_sources(name, paths, config):
        path, found = source.path, list[Row]()

        def checked(line: int, example: Example, path: str = path) -> list[Row]:
            where = f"{path}, line {line}"
            check_serves(config.trainer.kind, where, [kind_of(example)])
            return list(encode_one(example, where))

        for count, (_, _, encoded) in enumerate(parts.shared.encoders.map(checked, source.examples())):
            if count % _EVERY == 0:
                progress(len(rows) + count)
            examples += 1
            left_out += not encoded
            found += encoded
        if not found:
            raise DataError(
                f"{path}: no row has room for its answers within model.max_length={config.model.max_length}; raise it"
            )
        rows += repeat(found, source.weight, config.seed)
    table = pa.Table.from_pylist(finish(rows))
    with pa.OSFile(str(folder / ROWS), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH)
    return {"rows": len(rows), "examples": examples, "left_out": left_out}


def pairs(tokenizer: Any, config: Config) -> Encode:
    """Rows of prompt_ids, chosen_ids and rejected_ids; the answers end with their end-of-turn token."""

    def encode_one(example: Example, where: str) -> Iterator[dict[str, Any]]:
        chosen, rejected = _sides(example, ("chosen", "rejected"), tokenizer, where)
        prompt, answer = _split(chosen)
        other, wrong = _split(rejected)
        if prompt != other:
            raise DataError(
                f"{where}: this model's chat template renders the prompt differently before the rejected answer and before "
                "the chosen one, so they cannot be compared; change the row, or leave it out"
            )
        if len(prompt) < config.model.max_length:
            yield {"prompt_ids": prompt, "chosen_ids": answer, "rejected_ids": wrong}

    return encode_one


def whole_pairs(tokenizer: Any, config: Config) -> Encode:
    """Rows of chosen_ids and rejected_ids with their prompt. Rows longer than model.max_length are left out, because the
    reward is read at the last token."""

    def encode_one(example: Example, where: str) -> Iterator[dict[str, Any]]:
        sides = _sides(example, ("chosen", "rejected"), tokenizer, where)
        chosen, rejected = ([*prompt, *answer] for prompt, answer in map(_split, sides))
        if max(len(chosen), len(rejected)) <= config.model.max_length:
            yield {"chosen_ids": chosen, "rejected_ids": rejected}

    return encode_one


def labelled(tokenizer: Any, config: Config) -> Encode:
    """Rows of prompt_ids, completion_ids and label; a pair becomes a good and a bad answer."""

    def encode_one(example: Example, where: str) -> Iterator[dict[str, Any]]:
        names = ("chosen", "rejected") if "chosen" in example else ("completion",)
        for name, encoded in zip(names, _sides(example, names, tokenizer, where), strict=True):
            prompt, answer = _split(encoded)
            label = example.get("label", name == "chosen")
            if len(prompt) < config.model.max_length:
                yield {"prompt_ids": prompt, "completion_ids": answer, "label": label}

    return encode_one


def with_mismatched(rows: list[Row]) -> list[Row]:
    """The rows with KL_completion_ids: the answer to another prompt, of the nearest following row that has one.

    KTO estimates the KL divergence to the reference from the likelihood of such answers. The answer of a row does not depend
    on its batch or on the number of ranks. Source: Ethayarajh et al. (arXiv 2402.01306), section 4.1.
    """
    for number, row in enumerate(rows):
        others = (rows[(number + step) % len(rows)] for step in range(1, _NEAR))
        other = next((other for other in others if other["prompt_ids"] != row["prompt_ids"]), row)
        row["KL_completion_ids"] = other["completion_ids"]
    return rows


def prompts(tokenizer: Any, config: Config) -> Encode:
    """Rows whose only column is the prompt as JSON, to which Arrow adds no null keys; too long prompts are left out."""
    room = config.model.max_length - find_method(config.trainer.kind).completion_length(config)

    def encode_one(example: Example, where: str) -> Iterator[dict[str, Any]]:
        if len(encode_prompt(example, tokenizer, where)) <= room:
            yield {"prompt": json.dumps(example)}

    return encode_one


def read_prompts(rows: list[dict[str, str]]) -> list[Example]:
    """A batch of such rows for trl: the turns of each prompt and its other keys."""
    return [json.loads(row["prompt"]) for row in rows]


def _sides(example: Example, names: Sequence[str], tokenizer: Any, where: str) -> list[dict[str, list[int]]]:
    """The prompt with each of these answers, as ids and labels; the prompt has no labels."""
    prompt = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in example["prompt"]]
    tools = {"tools": example["tools"]} if "tools" in example else {}
    return [
        encode({"messages": [*prompt, *example[name]], **tools}, tokenizer, True, where) for name in names
    ]


def _split(encoded: dict[str, list[int]]) -> tuple[list[int], list[int]]:
    """The ids before the first token of the answer, and those of the answer."""
    trained = [at for at, label in enumerate(encoded["labels"]) if label != IGNORED]
    first, end = trained[0], trained[-1] + 1
    return encoded["input_ids"][:first], encoded["input_ids"][first:end]
