"""`message_tree`: a question with the tree of all replies to it (OpenAssistant's trees), read along the best replies."""

from typing import Any, cast

from launcher.data.fields import make_turn, plain_pairs
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.speakers import role_of
from launcher.data.turns import Message, check_order
from launcher.formats.base import Fields, Format


def _matches(row: Fields) -> bool:
    return "message_tree_id" in row and "prompt" in row


def _read(row: Fields) -> Example:
    turns: list[Message] = []
    node: Any = row["prompt"]
    while isinstance(node, dict):
        values = cast("dict[str, Any]", node)
        turns.append(make_turn(role_of(values.get("role"), "role"), values.get("text")))
        node = _best(values.get("replies"))
    while turns and turns[-1]["role"] != "assistant":
        turns.pop()
    check_order(turns)
    return {"messages": turns}


def _best(replies: Any) -> Any:
    """The reply that people ranked first; the first reply if none has a rank; None if there is no reply."""
    kept = [
        cast("dict[str, Any]", one)
        for one in (cast("list[Any]", replies) if isinstance(replies, list) else [])
        if isinstance(one, dict) and not cast("dict[str, Any]", one).get("deleted")
    ]
    return min(kept, key=lambda one: (one.get("rank") is None, one.get("rank") or 0), default=None)


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "message_tree")
    if system:
        raise BrokenRow("format", "message_tree cannot hold a system prompt; use --to messages")
    below: list[dict[str, Any]] = []
    for asked, said in reversed(pairs):
        answer = {"role": "assistant", "text": said, "replies": below}
        below = [{"role": "prompter", "text": asked, "replies": [answer]}]
    return {"message_tree_id": "1", "prompt": below[0]}


SPEC = Format(
    keys=("message_tree_id", "prompt", "tree_state"),
    kind="chat",
    precedence=27,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    text_or_turns=("prompt",),
    raw=("prompt",),
    example={
        "message_tree_id": "1",
        "prompt": {
            "role": "prompter",
            "text": "Hi",
            "replies": [{"role": "assistant", "text": "Hello", "replies": []}],
        },
    },
    shape='`{"message_tree_id", "prompt": {"role", "text", "replies": [...]}}`, as in OpenAssistant\'s trees',
    note="; along the replies that were ranked first",
)
