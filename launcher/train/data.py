"""Chats -> token ids and labels."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from launcher.config import Config
from launcher.dataset.chat import read_chats
from launcher.errors import DataError

IGNORED = -100
"""Label of a token that is not trained on. Source: torch.nn.CrossEntropyLoss, ignore_index."""


def tokenized(path: str, tokenizer: Any, config: Config) -> Dataset:
    """The file's chats as input_ids and labels, cut at model.max_length; the trainer adds nothing to them.

    Chats of which no trained token is left after the cut are left out; DataError when none remains.
    """
    rows = []
    for number, chat in enumerate(read_chats(Path(path)), start=1):
        row = encode(chat["messages"], tokenizer, config.trainer.assistant_only_loss, f"{path}, row {number}")
        row = {name: values[: config.model.max_length] for name, values in row.items()}
        if any(label != IGNORED for label in row["labels"]):
            rows.append(row)
    if not rows:
        raise DataError(
            f"{path}: no chat has a trained token within model.max_length={config.model.max_length}; raise it"
        )
    return Dataset.from_list(rows)


def encode(
    messages: list[dict[str, str]], tokenizer: Any, assistant_only: bool, where: str
) -> dict[str, list[int]]:
    """input_ids and labels of one chat.

    The trained spans are found by rendering the chat up to each assistant turn, so a template needs no generation marks;
    the end-of-turn token is trained on, or the model would never stop. DataError for a template that renders the
    beginning of a chat differently from the whole of it.
    """
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoded["input_ids"]
    if not assistant_only:
        return {"input_ids": ids, "labels": list(ids)}
    spans = [
        _span(messages, turn, text, tokenizer, where)
        for turn, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    labels = [
        token if any(start <= first and last <= end and first < last for start, end in spans) else IGNORED
        for token, (first, last) in zip(ids, encoded["offset_mapping"], strict=True)
    ]
    return {"input_ids": ids, "labels": labels}


def _span(
    messages: list[dict[str, str]], turn: int, text: str, tokenizer: Any, where: str
) -> tuple[int, int]:
    """Characters [start, end) of `text` that the assistant says in this turn, its end-of-turn token included."""
    before = (
        tokenizer.apply_chat_template(messages[:turn], tokenize=False, add_generation_prompt=True)
        if turn
        else ""
    )
    upto = tokenizer.apply_chat_template(messages[: turn + 1], tokenize=False).rstrip()
    if not text.startswith(upto) or not upto.startswith(before):
        raise DataError(
            f"{where}: this model's chat template renders turn {turn + 1} differently within the whole chat, so its tokens "
            "cannot be told apart; use trainer.assistant_only_loss=false, or split the chat"
        )
    return len(before), len(upto)
