"""The five common forms of a row.

chat {"messages": [...], "tools"?}, pair {"prompt": [...], "chosen": [...], "rejected": [...]}, labelled {"prompt": [...],
"completion": [...], "label": bool}, prompt {"prompt": [...], "answer"?, ...}, text {"text": ...}; the turns are those of
launcher.data.turns.
"""

from typing import Any

from launcher.data.turns import Message

Example = dict[str, Any]
_KINDS = {"messages": "chat", "chosen": "pair", "label": "labelled", "prompt": "prompt", "text": "text"}
"""The key by which a common form is told, in this order."""
SPOKEN = {"chat": "chat", "pair": "pair", "labelled": "labelled answer", "prompt": "prompt", "text": "text"}
"""What a row of each kind is called."""
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


def conversion(kind: str, wanted: str) -> str | None:
    """What `data convert --to` is given to make rows of one kind from those of another; None where it cannot."""
    target = _TARGETS.get(wanted)
    return target if target and (kind, target) in _CONVERTED else None


def untrained(turns: list[Message]) -> list[Message]:
    """The turns, of which no answer is trained on."""
    return [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns]
