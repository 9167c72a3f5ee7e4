"""Whether the calls of a chat, the tools that the row declares, and the results that follow belong together."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

from launcher.data.kinds import Example
from launcher.data.turns import Message
from launcher.units import plural

_SIDES = ("messages", "chosen", "rejected", "completion")


def mismatches(example: Example) -> list[str]:
    """A sentence for each call or result that has no counterpart, each once."""
    found: dict[str, None] = {}
    declared = {name for tool in example.get("tools", ()) if (name := _name(tool))}
    prompt: Sequence[Message] = example.get("prompt", ())
    sides = [example[side] for side in _SIDES if side in example] or [[]]
    for side in sides:
        turns = [*prompt, *side]
        if any("tool_calls" in turn or turn["role"] == "tool" for turn in turns):
            found.update(dict.fromkeys(_undeclared(turns, declared)))
            found.update(dict.fromkeys(_unpaired(turns)))
    return list(found)


def _undeclared(turns: Sequence[Message], declared: set[str]) -> Iterator[str]:
    names = [call["function"]["name"] for turn in turns for call in turn.get("tool_calls", ())]
    missing = [name for name in dict.fromkeys(names) if declared and name not in declared]
    if missing:
        yield f"it calls {', '.join(missing)}, but the row's tools declare only {', '.join(sorted(declared))}"


def _unpaired(turns: Sequence[Message]) -> Iterator[str]:
    """Results without a call, and calls without a result before the next turn that is not a result."""
    for number, turn in enumerate(turns, start=1):
        calls = turn.get("tool_calls", ())
        before = turns[number - 2] if number > 1 else turn
        if turn["role"] == "tool" and before["role"] == "assistant" and "tool_calls" not in before:
            yield (
                "a tool's result follows a turn without tool_calls: a call in its text is trained on as text, and some chat "
                "templates refuse such a chat"
            )
        if not calls or number == len(turns):  # a chat may end with a call
            continue
        results = list(itertools.takewhile(lambda one: one["role"] == "tool", turns[number:]))
        ids = [call["id"] for call in calls if "id" in call]
        answered = [result.get("tool_call_id") for result in results]
        for at, wanted in enumerate(answered, start=number + 1):
            if ids and wanted is not None and wanted not in ids:
                yield f"the result in turn {at} answers the call {wanted!r}, but the calls are {', '.join(ids)}"
        missing = [name for name in ids if name not in answered]
        count = len(calls) - len([one for one in answered if one is None or not ids or one in ids])
        if count > 0:
            named = f" ({', '.join(missing[:count])})" if missing else ""
            yield f"{plural(count, 'call')}{named} of turn {number} without a result"


def _name(tool: Any) -> str | None:
    values = cast("dict[str, Any]", tool) if isinstance(tool, dict) else {}
    function: Any = values.get("function", values)
    name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
