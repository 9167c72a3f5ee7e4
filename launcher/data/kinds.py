"""The six common forms of a row.

chat {"messages": [...], "tools"?}, pair {"prompt": [...], "chosen": [...], "rejected": [...]}, labelled {"prompt": [...],
"completion": [...], "label": bool}, prompt {"prompt": [...], "answer"?, ...}, text {"text": ..., "parts"?}, classified
{"text": ...} or {"messages": [...]} with {"labels": [names of classes]}; the turns are those of launcher.data.turns. The
parts of a text are [text, whether it is trained on], in order; without them all of it is trained on.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a launch needs only the names of kinds
    from launcher.data.turns import Message

Example = dict[str, Any]
_KINDS = {
    "labels": "classified",
    "messages": "chat",
    "chosen": "pair",
    "label": "labelled",
    "prompt": "prompt",
    "text": "text",
}
"""The key that identifies each common form, checked in this order."""
SPOKEN = {
    "chat": "chat",
    "pair": "pair",
    "labelled": "labelled answer",
    "prompt": "prompt",
    "text": "text",
    "classified": "classified text",
}
"""What messages call a row of each kind."""
USUAL_FORMATS = {
    "chat": "messages", "pair": "preference", "labelled": "labelled", "prompt": "prompt", "text": "text",
    "classified": "text_label",
}  # fmt: skip
"""The format in which rows of a kind are written if nobody names one."""
_TARGETS = {"chat": "messages", "text": "text", "prompt": "prompt"}
_CONVERTED = {(kind, to) for kind in ("chat", "pair", "labelled") for to in ("messages", "text", "prompt")}


def kind_of(example: Example) -> str:
    """The common form of the example: chat, pair, labelled, prompt, text or classified."""
    return next(kind for key, kind in _KINDS.items() if key in example)


def to_chat(example: Example) -> Example:
    """The example as supervised training uses it: a pair becomes the chat with its chosen answer; text stays text."""
    answer = example.get("chosen") or example.get("completion")
    if not answer:
        return example
    tools = {"tools": example["tools"]} if "tools" in example else {}
    return {"messages": [*untrained(example["prompt"]), *answer], **tools}


def conversion(kind: str, wanted: str) -> str | None:
    """The value of `data convert --to` that makes rows of kind `wanted` from rows of `kind`; None if there is none."""
    target = _TARGETS.get(wanted)
    return target if target and (kind, target) in _CONVERTED else None


def untrained(turns: "list[Message]") -> "list[Message]":
    """The turns with weight 0 on every answer."""
    return [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns]
