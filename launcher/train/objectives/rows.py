"""Pairs, labelled answers and prompts -> the rows that trl's trainers take, as token ids of the model's own template."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from datasets import Dataset

from launcher.config import Config
from launcher.dataset.formats import Example, check_serves, kind_of
from launcher.dataset.mask import IGNORED, encode, encode_prompt
from launcher.errors import DataError
from launcher.plan.objective import completion_length
from launcher.train.data import examples_of, repeat, sources_of

Encode = Callable[[Example, str], Iterator[dict[str, Any]]]
"""An example and where it stands -> its rows: none where it is too long to learn from, several where it is taken apart."""
_NEAR = 64
"""Rows that are looked at for another prompt."""


def rows_of(paths: str | Sequence[str], config: Config, encode_one: Encode) -> Dataset:
    """The rows of one file, or of those of data.sources; DataError where none is left within model.max_length."""
    rows: list[dict[str, Any]] = []
    for path, weight, format in sources_of(paths, config):
        found: list[dict[str, Any]] = []
        for line, example in examples_of(path, format):
            check_serves(config.trainer.kind.name, f"{path}, line {line}", [kind_of(example)])
            found += encode_one(example, f"{path}, line {line}")
        if not found:
            raise DataError(
                f"{path}: no row has room for its answers within model.max_length={config.model.max_length}; raise it"
            )
        rows += repeat(found, weight, config.seed)
    return Dataset.from_list(rows)


def pairs(tokenizer: Any, config: Config) -> Encode:
    """Rows of prompt_ids, chosen_ids and rejected_ids; the answers end with their end-of-turn token."""

    def encode_one(example: Example, where: str) -> Iterator[dict[str, Any]]:
        chosen, rejected = _sides(example, ("chosen", "rejected"), tokenizer, where)
        prompt, answer = _split(chosen)
        other, wrong = _split(rejected)
        if prompt != other:
            raise DataError(
                f"{where}: this model's chat template renders the prompt otherwise before the rejected answer than before "
                "the chosen one, so they cannot be compared"
            )
        if len(prompt) < config.model.max_length:
            yield {"prompt_ids": prompt, "chosen_ids": answer, "rejected_ids": wrong}

    return encode_one


def whole_pairs(tokenizer: Any, config: Config) -> Encode:
    """Rows of chosen_ids and rejected_ids with their prompt; those longer than model.max_length are left out, since a reward
    is read at the last token."""

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


def with_mismatched(rows: Dataset) -> Dataset:
    """The rows with KL_completion_ids: the answer to another prompt, the nearest that follows.

    KTO holds the model to the reference by the likelihood of such answers. Whatever batch a row comes into, and on however
    many ranks, its answer is the same. Source: Ethayarajh et al. (arXiv 2402.01306), section 4.1.
    """
    prompts, answers = rows["prompt_ids"][:], rows["completion_ids"][:]
    found: list[list[int]] = []
    for row, prompt in enumerate(prompts):
        others = ((row + step) % len(prompts) for step in range(1, _NEAR))
        found.append(answers[next((other for other in others if prompts[other] != prompt), row)])
    return rows.add_column("KL_completion_ids", found)


def prompts(tokenizer: Any, config: Config) -> Encode:
    """Rows whose one column is the prompt as JSON, which keeps what Arrow would fill up; those too long are left out."""
    room = config.model.max_length - completion_length(config)

    def encode_one(example: Example, where: str) -> Iterator[dict[str, Any]]:
        if len(encode_prompt(example, tokenizer, where)) <= room:
            yield {"prompt": json.dumps(example)}

    return encode_one


def read_prompts(rows: list[dict[str, str]]) -> list[Example]:
    """A batch of such rows as trl takes it: the prompt's turns and what stands beside them."""
    return [json.loads(row["prompt"]) for row in rows]


def _sides(example: Example, names: Sequence[str], tokenizer: Any, where: str) -> list[dict[str, list[int]]]:
    """The prompt with each of these answers, as ids and labels; the prompt has none."""
    prompt = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in example["prompt"]]
    tools = {"tools": example["tools"]} if "tools" in example else {}
    return [
        encode({"messages": [*prompt, *example[name]], **tools}, tokenizer, True, where) for name in names
    ]


def _split(encoded: dict[str, list[int]]) -> tuple[list[int], list[int]]:
    """The ids up to the first token of the answer, and those of the answer."""
    trained = [at for at, label in enumerate(encoded["labels"]) if label != IGNORED]
    first, end = trained[0], trained[-1] + 1
    return encoded["input_ids"][:first], encoded["input_ids"][first:end]
