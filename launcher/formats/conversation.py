"""`conversation`: a chat as a list of {"input", "output"} rounds, or as a list of turns."""

from typing import Any

from launcher.data.fields import plain_pairs, read_chat, with_tools
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.formats.base import SYSTEM, TOOLS, Fields, Format


def _matches(row: Fields) -> bool:
    return "conversation" in row


def _read(row: Fields) -> Example:
    if not isinstance(row.get("conversation"), list | str) or not row["conversation"]:
        raise BrokenRow("type", 'conversation is not a list of {"input": ..., "output": ...} or of turns')
    return with_tools({"messages": read_chat(row, "conversation")}, row)


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "conversation")
    row: dict[str, Any] = {
        "conversation": [{"input": question, "output": answer} for question, answer in pairs]
    }
    return {**row, "system": system} if system else row


SPEC = Format(
    keys=("conversation", *SYSTEM, *TOOLS),
    kind="chat",
    precedence=25,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    later_columns=("system",),
    json_columns=("conversation",),
    lists=("conversation",),
    example={"conversation": [{"input": "Hi", "output": "Hello"}, {"input": "And?", "output": "Bye"}]},
    shape='`{"conversation": [{"input": ..., "output": ...}, ...], "system"?}`, or a list of turns',
    note="; rounds can also have `human`, `user`, `question`, `prompt` and `assistant`, `answer`, `response`",
)
