"""The five common forms of a row, and which trainer learns from which.

chat {"messages": [...], "tools"?}, pair {"prompt": [...], "chosen": [...], "rejected": [...]}, labelled {"prompt": [...],
"completion": [...], "label": bool}, prompt {"prompt": [...], "answer"?, ...}, text {"text": ...}; the turns are those of
launcher.data.turns.
"""

from collections.abc import Iterable
from typing import Any

from launcher.data.turns import Message
from launcher.errors import DataError

Example = dict[str, Any]
_KINDS = {"messages": "chat", "chosen": "pair", "label": "labelled", "prompt": "prompt", "text": "text"}
"""The key by which a common form is told, in this order."""
SPOKEN = {"chat": "chat", "pair": "pair", "labelled": "labelled answer", "prompt": "prompt", "text": "text"}
"""What a row of each kind is called."""
LEARNS_FROM: dict[str, tuple[str, ...]] = {
    "sft": ("chat", "pair", "text"),
    "pretrain": ("text",),
    "dpo": ("pair",),
    "kto": ("labelled", "pair"),
    "orpo": ("pair",),
    "reward": ("pair",),
    "grpo": ("prompt",),
}
"""Kinds of rows that each trainer takes."""
_TARGETS = {"chat": "messages", "text": "text", "prompt": "prompt"}
_CONVERTED = {(kind, to) for kind in ("chat", "pair", "labelled") for to in ("messages", "text", "prompt")}


def kind_of(example: Example) -> str:
    """chat, pair, labelled, prompt or text: which of the common forms this is."""
    return next(kind for key, kind in _KINDS.items() if key in example)


def to_chat(example: Example) -> Example:
    """What supervised training makes of it: a pair becomes the chat with its chosen answer; text stays text."""
    answer = example.get("chosen") or example.get("completion")
    if not answer:
        return example
    tools = {"tools": example["tools"]} if "tools" in example else {}
    return {"messages": [*untrained(example["prompt"]), *answer], **tools}


def check_serves(trainer: str, path: str, kinds: Iterable[str]) -> None:
    """DataError where a trainer cannot learn from rows of these kinds, with the trainers that can, or how to convert them."""
    for kind in kinds:
        if kind in LEARNS_FROM[trainer]:
            continue
        others = [name for name, learns in LEARNS_FROM.items() if kind in learns]
        target = _TARGETS.get(LEARNS_FROM[trainer][0])
        written = f", or write them anew: python -m launcher data convert {path} OUT --to {target}"
        raise DataError(
            f"{path} holds {SPOKEN[kind]}s, and trainer.kind={trainer} learns from "
            f"{' or '.join(f'{SPOKEN[one]}s' for one in LEARNS_FROM[trainer])}; use trainer={' or '.join(others)}"
            + (written if target and (kind, target) in _CONVERTED else "")
        )


def untrained(turns: list[Message]) -> list[Message]:
    """The turns, of which no answer is trained on."""
    return [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns]
