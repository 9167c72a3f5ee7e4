"""Chats in other shapes than lists of {"role", "content"}.

Turns can be {"from", "value"}, tool calls can be turns of their own, texts can alternate, and a chat can be rounds of a
question and its answer.
"""

from typing import Any, cast

from launcher.data.findings import BrokenRow
from launcher.data.row import value_in

ROLES = ("system", "user", "assistant", "tool")
_SPELLINGS = {
    "system": ("developer",),
    "user": ("human", "prompter"),
    "assistant": ("gpt", "chatgpt", "bot", "chatbot", "model", "ai", "llm", "bard", "bing", "claude", "gpt4"),
    "tool": ("observation", "function", "function_response", "tool_response", "ipython"),
}
"""Other names of each role in public data sets: ShareGPT's exports, OpenAssistant, LLaMA-Factory, Llama's templates."""
CALLS = ("function_call", "tool_call")
"""Names of a turn of the assistant that is a call."""
SPEAKERS = {
    **{role: role for role in ROLES},
    **{name: role for role, names in _SPELLINGS.items() for name in names},
    **dict.fromkeys(CALLS, "assistant"),
}
"""The role of each name of a speaker, in lower case."""
NAMED_BY = ("role", "from", "speaker", "author")
"""Keys of a turn that say who speaks, in the order in which they are taken."""
SAID_IN = {"role": ("content", "value", "text", "message"), "from": ("value", "content", "text", "message")}
"""Key that says who speaks -> the keys that can hold what is said, in the order in which they are tried."""
_CALLED = "_called"
_ROUNDS = (
    ("input", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("human", "gpt"),
    ("human", "bot"),
    ("user", "bot"),
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("query", "response"),
    ("query", "answer"),
)
"""Keys of the question and of the answer in a round."""


def keys_of(turn: dict[str, Any]) -> tuple[str, str] | None:
    """The key that says who speaks and the one that holds what is said; None if nobody speaks."""
    by = next((key for key in NAMED_BY if key in turn), None)
    if by is None:
        return None
    texts = SAID_IN.get(by, SAID_IN["role"])
    return by, next((key for key in texts if turn.get(key) is not None), texts[0])


def as_role(turn: dict[str, Any]) -> dict[str, Any]:
    """The turn as {"role", "content"} with its other keys; BrokenRow for a speaker whose role is not known."""
    role = turn.get("role")
    if isinstance(role, str) and role in ROLES and "content" in turn:
        return turn
    keys = keys_of(turn)
    if keys is None:
        turn = {
            name.lower(): value for name, value in turn.items()
        }  # {"From", "Value"}, as some exports write it
        keys = keys_of(turn)
    if keys is None:
        return turn
    by, said = keys
    role = role_of(turn[by], by)
    left = {name: value for name, value in turn.items() if name not in (by, said)}
    if str(turn[by]).strip().lower() in CALLS:
        return {"role": role, "content": None, "tool_calls": _calls(turn.get(said)), **left, _CALLED: True}
    if said not in turn and "tool_calls" in turn:
        return {**left, "role": role}
    return {"role": role, "content": turn.get(said), **left}


def role_of(speaker: Any, key: str) -> str:
    """The role of a speaker, by the name under that key; case and spaces around it do not count."""
    role = SPEAKERS.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        way = f"; data.roles={{{speaker}: user}} says whose turns these are" if _is_word(speaker) else ""
        raise BrokenRow("role", f"{key} {speaker!r} must be one of {', '.join(SPEAKERS)}{way}")
    return role


def _is_word(speaker: Any) -> bool:
    return isinstance(speaker, str) and 0 < len(speaker) <= 40 and speaker.replace("_", "a").isalnum()


def _calls(value: Any) -> list[Any]:
    """The calls of one turn: an object, a list of objects, or either as text."""
    if isinstance(value, str):
        try:
            value = value_in(value)
        except ValueError as error:
            raise BrokenRow("tool_call", f"a function_call is not JSON ({error})") from None
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def join_calls(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with calls that follow each other in one turn: calls that one turn of the assistant makes in parallel.

    A call joins the text of the assistant before it, too. `turns` are those of as_role; calls that were given in a turn's own
    tool_calls are not joined.
    """
    joined: list[dict[str, Any]] = []
    for turn in turns:
        called = turn.get(_CALLED)
        before = joined[-1] if joined else None
        if called and before and before["role"] == "assistant" and before.get("weight") == turn.get("weight"):
            calls = [*before.get("tool_calls", []), *turn["tool_calls"]]
            joined[-1] = {**before, "tool_calls": calls}
        else:
            joined.append(
                {name: value for name, value in turn.items() if name != _CALLED} if called else turn
            )
    return joined


def as_turns(value: Any, key: str) -> Any:
    """The turns of a list of texts or of rounds; any other value as it is. The first text is the user's."""
    if not isinstance(value, list) or not value:
        return cast("Any", value)
    items = cast("list[Any]", value)
    if isinstance(items[0], str):
        if any(not isinstance(item, str) for item in items):
            raise BrokenRow("type", f"{key} is a list of texts and of other values; write turns")
        return [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(items)
        ]
    if all(_is_pair(item) for item in items):
        return as_turns([text for item in items for text in item], key)
    names = _names(items[0])
    if names is None:
        return items
    return [turn for item in items for turn in _round(item, names)]


def _is_pair(item: Any) -> bool:
    """Whether it is [question, answer], as Gradio keeps a chat."""
    values = cast("list[Any]", item) if isinstance(item, list) else []
    return len(values) == 2 and all(isinstance(text, str) for text in values)


def _names(item: Any) -> tuple[str, str] | None:
    """The keys of question and answer of a round; None for anything else."""
    if not isinstance(item, dict):
        return None
    return next((pair for pair in _ROUNDS if pair[0] in item and pair[1] in item), None)


def _round(item: Any, names: tuple[str, str]) -> list[dict[str, Any]]:
    values = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    if set(values) != set(names):
        raise BrokenRow(
            "type",
            f'a round is {{"{names[0]}": ..., "{names[1]}": ...}}, but one has {", ".join(values) or "no keys"}',
        )
    return [{"role": "user", "content": values[names[0]]}, {"role": "assistant", "content": values[names[1]]}]
