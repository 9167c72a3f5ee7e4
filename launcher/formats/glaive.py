"""`glaive`: a chat as one text with calls of functions, and the functions in its system prompt (glaive-function-calling-v2)."""

import json
import re
from typing import Any, cast

from launcher.data.astext import holds_turns
from launcher.data.fields import plain_pairs, read_string, read_system
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.transcript import turns_of
from launcher.data.turns import Message, check_order, read_turn
from launcher.formats.base import Fields, Format

_CALL = "<functioncall>"
_ARGUMENTS = re.compile(r"(\"arguments\":\s*)'(.*)'(\s*\}\s*)$", re.DOTALL)
"""The arguments are JSON between single quotes, which makes the whole text invalid JSON."""
_ACCESS = re.compile(r",? with access to the following functions.*", re.DOTALL)


def _matches(row: Fields) -> bool:
    chat = row.get("chat")
    return isinstance(chat, str) and ("system" in row or (bool(chat) and not holds_turns(chat)))


def _read(row: Fields) -> Example:
    system = str(row.get("system") or "").removeprefix("SYSTEM:").strip()
    tools = _tools(system)
    if tools:
        system = _ACCESS.sub(".", system)
    turns = [*read_system(system), *(_called(turn) for turn in turns_of(read_string(row, "chat"), "chat"))]
    check_order(turns)
    return {"messages": turns, "tools": tools} if tools else {"messages": turns}


def _tools(system: str) -> list[dict[str, Any]]:
    """The functions in a system prompt, which contains them as consecutive JSON objects."""
    found: list[dict[str, Any]] = []
    at = system.find("{")
    while at >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(system, at)
        except (ValueError, RecursionError):
            return found
        if isinstance(value, dict) and isinstance(cast("dict[str, Any]", value).get("name"), str):
            found.append({"type": "function", "function": value})
        at = system.find("{", end)
    return found


def _called(turn: Message) -> Message:
    """The turn, in which a call that was part of the text is a tool call."""
    before, call, text = turn["content"].partition(_CALL)
    if not call or turn["role"] != "assistant":
        return turn
    try:
        function = json.loads(_ARGUMENTS.sub(lambda found: found[1] + found[2] + found[3], text.strip()))
    except (ValueError, RecursionError):
        raise BrokenRow("tool_call", f"the text after {_CALL} is not JSON ({text.strip()[:40]})") from None
    content = before.strip() or None
    return read_turn({"role": "assistant", "content": content, "tool_calls": [{"function": function}]})


def _write(example: Example) -> dict[str, Any]:
    system, pairs = plain_pairs(example, "glaive")
    chat = "".join(f"USER: {asked}\n\n\nASSISTANT: {said} <|endoftext|>\n\n\n" for asked, said in pairs)
    row = {"system": f"SYSTEM: {system}" if system else "", "chat": chat}
    if _read(row) != example:
        raise BrokenRow(
            "format", "a turn of this chat holds text that would mark another one; use --to messages"
        )
    return row


SPEC = Format(
    keys=("system", "chat"),
    kind="chat",
    precedence=28,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    example={"system": "SYSTEM: You are kind.", "chat": "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>"},
    shape='`{"system": "SYSTEM: ...", "chat": "USER: ... ASSISTANT: ..."}`, as in glaive-function-calling-v2',
    note="; functions become tools, and `<functioncall>` a call",
)
