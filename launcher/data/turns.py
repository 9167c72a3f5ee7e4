"""One turn of a chat in its common form, and the order in which turns may come.

The common form is {"role", "content"}, with name, tool_calls, tool_call_id, reasoning_content, thinking and weight if the row
has them. content is a string, and the arguments of a tool call are an object, as chat templates expect.
"""

from typing import Any, cast

from launcher.data.findings import BrokenRow, check_known
from launcher.data.parts import TEXTS, spread
from launcher.data.reorder import Named
from launcher.data.row import value_in
from launcher.data.speakers import as_role, join_calls

_THOUGHTS = ("reasoning_content", "thinking")
_KEYS = (
    "role",
    "content",
    "name",
    "weight",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    *_THOUGHTS,
)
KEYS = frozenset(_KEYS)
"""Keys of a turn that has a role."""
ASSISTANT_FIRST = "the chat begins with the assistant, whose first turn answers nobody"
Message = dict[str, Any]


def read_turns(value: Any, key: str) -> list[Message]:
    """The turns of a list; BrokenRow for the first turn that is invalid, whatever its position."""
    if not isinstance(value, list):
        raise BrokenRow(
            "type", f'no "{key}" list: {key} is {_kind(value)}; a turn is {{"role": ..., "content": ...}}'
        )
    items = cast("list[Any]", value)
    if not items:
        raise BrokenRow("empty", f"{key} is an empty list; remove the row")
    if any(not isinstance(item, dict) for item in items):
        odd = next(item for item in items if not isinstance(item, dict))
        raise BrokenRow("type", f'a turn is {_kind(odd)}, not {{"role": ..., "content": ...}}')
    turns = join_calls(spread([as_role(item) for item in cast("list[dict[str, Any]]", items)]))
    if _is_empty_system(turns[0]):
        turns = turns[1:]  # some data sets write the absence of a system prompt as an empty turn
        if not turns:
            raise BrokenRow("no_answer", f"{key} holds nothing but an empty system turn; remove the row")
    return [read_turn(turn) for turn in turns]


def _is_empty_system(turn: dict[str, Any]) -> bool:
    content = turn.get("content")
    blank = content is None or (isinstance(content, str) and not content.strip())
    return blank and turn.get("role") in ("system", "developer")


def read_turn(value: Any) -> Message:
    """One turn in its common form."""
    if not isinstance(value, dict):
        raise BrokenRow("type", f'a turn is {_kind(value)}, not {{"role": ..., "content": ...}}')
    values = as_role(cast("dict[str, Any]", value))
    role = values.get("role")
    if not isinstance(role, str):
        listed = ", ".join(values) or "(none)"
        raise BrokenRow(
            "role",
            f'a turn has no role, but the keys {listed}; write each as {{"role": "user", "content": ...}}',
        )
    for name in values:
        check_known("key of a turn", name, _KEYS)
    turn: Message = {"role": role, "content": ""}
    calls = _tool_calls(values)
    if calls:
        if role != "assistant":
            raise BrokenRow("tool_call", f"a {role} turn has tool_calls; only the assistant calls tools")
        turn["tool_calls"] = calls
    content = values.get("content")
    if content is None and isinstance(values.get("refusal"), str):
        content = values["refusal"]
    turn["content"] = _text(content, role, bool(calls))
    for name in ("name", "tool_call_id", *_THOUGHTS):
        if values.get(name) is not None:
            if not isinstance(values[name], str):
                raise BrokenRow("type", f"{name} of a {role} turn is {_kind(values[name])}, not a string")
            turn[name] = values[name]
    weight = values.get("weight")
    if weight is not None and not (role != "assistant" and _is_zero(weight)):  # it is not trained on anyway
        turn["weight"] = _weight(weight, role)
    return turn


def check_order(turns: list[Message], named: Named = Named()) -> None:  # noqa: B008 (it is frozen)
    """BrokenRow if a turn of this role cannot be at its position: templates refuse it or render it as another role's.

    `named`: how the file names its turns, for the command that mends it.
    """
    if all(turn["role"] != "assistant" for turn in turns):
        raise BrokenRow(
            "no_answer",
            "no assistant turn, so there is nothing to train on; if another column holds the answer, "
            "data.columns={prompt: TURNS, completion: ANSWER} joins them; trainer=grpo reads {prompt: TURNS}",
        )
    before: Message | None = None
    for number, turn in enumerate(turns, start=1):
        role, last = turn["role"], before["role"] if before else None
        wrong = None
        if role == "system" and number > 1:
            wrong = f"a system turn can only be the first turn; leave the later ones out: {named.without_later(role)}"
        elif role == "user" and last == "user":
            wrong = f"two user turns follow each other; join them: {named.join(role)}"
        elif role == "assistant" and last == "assistant":
            wrong = f"two assistant turns follow each other; join them: {named.join(role)}"
        elif role == "assistant" and last == "system":
            wrong = "the assistant answers before the user has asked"
        elif role == "tool" and last not in ("tool", "assistant"):
            wrong = "a tool's result needs the call of an assistant turn before it"
        if wrong:
            raise BrokenRow("role_order", f"turn {number} is {role}'s: {wrong}")
        before = turn
    if turns[-1]["role"] != "assistant":
        raise BrokenRow(
            "role_order",
            f"the last turn is {turns[-1]['role']}'s; end with the assistant's answer, or leave out what follows the last one: "
            + named.end(),
        )


def shared_turns(one: list[Message], other: list[Message]) -> list[Message]:
    """The turns with which both chats begin, up to the last one that is not the assistant's: an answer at the end belongs to
    each chat, even if it is the same in both."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    while length and one[length - 1]["role"] == "assistant":
        length -= 1
    return one[:length]


def check_prompt(turns: list[Message]) -> None:
    """BrokenRow if no answer can follow these turns."""
    if turns[-1]["role"] not in ("user", "tool"):
        raise BrokenRow(
            "role_order", f"the last turn of a prompt is {turns[-1]['role']}'s; end with the user's question"
        )
    check_order([*turns, {"role": "assistant", "content": ""}])


def check_answer(turns: list[Message], name: str) -> None:
    """BrokenRow for an answer that is compared or judged, but of which no turn is trained on."""
    if not any(is_trained(turn) for turn in turns):
        raise BrokenRow(
            "weight",
            f"every turn of {name} has weight 0, so there is no answer to learn from; take the weight out",
        )


def is_trained(turn: Message) -> bool:
    """Whether the tokens of the turn are trained on: those of an assistant turn are, unless its weight is 0."""
    return turn["role"] == "assistant" and turn.get("weight", 1) == 1


def _text(content: Any, role: str, has_calls: bool) -> str:
    if content is None and has_calls:
        return ""
    if isinstance(content, list):
        content = "".join(_part(part, role) for part in cast("list[Any]", content))
    if not isinstance(content, str):
        raise BrokenRow("type", f"the content of {_article(role)} turn is {_kind(content)}, not a string")
    if not content.strip() and not has_calls and role != "tool":
        raise BrokenRow("empty", f"{_article(role)} turn is empty; fill it, or remove the row")
    return content


def _article(role: str) -> str:
    return f"an {role}" if role[0] in "aeio" else f"a {role}"  # a user


def _part(part: Any, role: str) -> str:
    if isinstance(part, str):
        return part
    values = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
    if values.get("type") not in TEXTS or ("type" not in values and "text" not in values):
        kind = values.get("type", _kind(part))
        raise BrokenRow(
            "type",
            f"a part of {_article(role)} turn is {kind!r}, but only texts are trained on; leave such rows out with "
            "data.on_bad_row=skip and a data.max_bad_share that allows them",
        )
    text = values.get("text", values.get("refusal"))
    if not isinstance(text, str):
        raise BrokenRow("type", f"a text part of {_article(role)} turn holds {_kind(text)}, not a string")
    return text


def _tool_calls(values: dict[str, Any]) -> list[dict[str, Any]]:
    calls = values.get("tool_calls")
    if calls is None and values.get("function_call") is not None:
        calls = [{"function": values["function_call"]}]
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise BrokenRow("type", f"tool_calls is {_kind(calls)}, not a list")
    return [_tool_call(call) for call in cast("list[Any]", calls)]


def _tool_call(call: Any) -> dict[str, Any]:
    values = cast("dict[str, Any]", call) if isinstance(call, dict) else {}
    function: Any = values.get("function", values)
    if not isinstance(function, dict) or not isinstance(cast("dict[str, Any]", function).get("name"), str):
        raise BrokenRow("tool_call", 'a tool call is {"function": {"name": ..., "arguments": ...}}')
    arguments: Any = cast("dict[str, Any]", function).get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = value_in(arguments or "{}")
        except ValueError as error:
            raise BrokenRow(
                "tool_call", f"the arguments of {function['name']} are not JSON ({error})"
            ) from None
    if not isinstance(arguments, dict):
        raise BrokenRow(
            "tool_call", f"the arguments of {function['name']} are {_kind(arguments)}, not an object"
        )
    known = {"id": values["id"]} if isinstance(values.get("id"), str) else {}
    return {**known, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _is_zero(weight: Any) -> bool:
    return not isinstance(weight, bool) and weight == 0


def _weight(weight: Any, role: str) -> int:
    if isinstance(weight, bool) or weight not in (0, 1):
        raise BrokenRow("weight", f"weight {weight!r} must be 0 (not trained on) or 1")
    if role != "assistant":
        raise BrokenRow("weight", f"a {role} turn has a weight; only assistant turns are trained on")
    return int(weight)


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
