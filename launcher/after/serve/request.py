"""A request of POST /v1/chat/completions as a value: what it asks, and why one is refused.

Source: OpenAI's API reference, "Create chat completion".
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from launcher.after.serve.documents import RequestRefused
from launcher.errors import nearest
from launcher.protocol.work.chats import ServedChat

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Role of the API -> role of chat templates. Developer is the API's newer name of system."""
_READ = frozenset(
    ["model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "stream",
     "stream_options", "tools", "tool_choice"]
)  # fmt: skip
_WITHOUT_EFFECT = frozenset(
    ["user", "metadata", "store", "service_tier", "parallel_tool_calls", "safety_identifier", "prompt_cache_key",
     "prompt_cache_retention"]
)  # fmt: skip
"""Fields that do not decide what the answer is; they are ignored."""
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}
"""Fields that this server cannot obey -> the values that ask for nothing."""
_MOST_STOPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a request asks."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[Any]
    temperature: float
    top_p: float | None
    max_new_tokens: int | None
    seed: int | None
    stop: list[str]
    stream: bool
    include_usage: bool
    """Whether a stream ends with the numbers of tokens."""

    def for_worker(self, number: int) -> ServedChat:
        """The part that the process with the model reads, as its request of that number."""
        return ServedChat(
            id=number, messages=tuple(self.messages), tools=tuple(self.tools), temperature=self.temperature,
            top_p=self.top_p, max_new_tokens=self.max_new_tokens, seed=self.seed, stop=tuple(self.stop),
        )  # fmt: skip


def parse_request(body: bytes, longest: int) -> ChatRequest:
    """The request in a body; RequestRefused for one that the API refuses, or that this server cannot obey.

    `longest`: most tokens of an answer.
    """
    given = _object(body)
    for name, value in given.items():
        if name not in _READ and name not in _WITHOUT_EFFECT:
            _check_only(name, value)
    if "model" not in given:
        _refuse("model is missing; GET /v1/models names the one that is served", "model")
    stream = _of_kind(given, "stream", bool, False)
    options = _of_kind(given, "stream_options", dict, {})
    if options and not stream:
        _refuse("stream_options is only for stream=true", "stream_options")
    return ChatRequest(
        model=_of_kind(given, "model", str, ""),
        messages=_messages(given.get("messages")),
        tools=_tools(given),
        temperature=_number(given, "temperature", 0, 2, 1.0),
        top_p=_number(given, "top_p", 0, 1, None),
        max_new_tokens=_max_tokens(given, longest),
        seed=_whole(given, "seed", -(1 << 63), (1 << 63) - 1),
        stop=_stop(given.get("stop")),
        stream=stream,
        include_usage=bool(options.get("include_usage")),
    )


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object; a null counts as a field that is not given."""

    def refuse_constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is not JSON")

    try:
        value: Any = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
        json.dumps(value, ensure_ascii=False).encode(
            "utf-8"
        )  # fails for half of a surrogate pair, which is not a character
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"the body is not a JSON object in UTF-8 ({error})") from None
    if not isinstance(value, dict):
        raise RequestRefused("the body must be a JSON object")
    return {name: one for name, one in cast("dict[str, Any]", value).items() if one is not None}


def _check_only(name: str, value: Any) -> None:
    if name not in _ONLY:
        close = nearest(name, [*_READ, *_ONLY])
        _refuse(f"{name} is not a field of a request{f'; did you mean {close}?' if close else ''}", name)
    if not any(_same(value, one) for one in _ONLY[name]):
        allowed = " or ".join(json.dumps(one) for one in _ONLY[name])
        _refuse(f"{name} is not supported here; leave it out{f', or set {allowed}' if allowed else ''}", name)


def _same(value: Any, other: Any) -> bool:
    """Whether two values of JSON are equal; true is not 1, but 1.0 is."""
    return value == other and isinstance(value, bool) is isinstance(other, bool)


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        _refuse("messages must be a list with at least one message", "messages")
    return [_message(one, f"messages[{at}]") for at, one in enumerate(cast("list[Any]", value))]


def _message(value: Any, where: str) -> dict[str, Any]:
    """A message as chat templates take it: a role of theirs, and content that is one text."""
    if not isinstance(value, dict):
        _refuse(f"{where} must be an object with role and content", where)
    message = {name: one for name, one in cast("dict[str, Any]", value).items() if one is not None}
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        _refuse(
            f"{where}.role is {json.dumps(role)[:60]} and must be one of {', '.join(_ROLES)}", f"{where}.role"
        )
    calls = message.get("tool_calls")
    if "content" not in message and not calls:
        _refuse(f"{where}.content is missing", f"{where}.content")
    read = {**message, "role": _ROLES[role], "content": _text(message.get("content", ""), f"{where}.content")}
    if calls is not None:
        read["tool_calls"] = _calls(calls, f"{where}.tool_calls")
    return read


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        _refuse(f"{where} must be a text, or a list of parts of type text", where)
    texts: list[str] = []
    for part in cast("list[Any]", content):
        found: Any = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        if found.get("type") != "text" or not isinstance(found.get("text"), str):
            _refuse(f"{where} has a part that is not of type text; this model reads only text", where)
        texts.append(found["text"])
    return "".join(texts)


def _calls(value: Any, where: str) -> list[dict[str, Any]]:
    """The calls with their arguments as an object, which chat templates expect."""
    calls: list[dict[str, Any]] = []
    for one in cast("list[Any]", value) if isinstance(value, list) else [value]:
        call: Any = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        function = call.get("function")
        try:
            name, arguments = function["name"], function["arguments"]
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        except (KeyError, TypeError, ValueError, RecursionError):
            name = arguments = None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            _refuse(
                f'{where} must be calls {{"type": "function", "function": {{"name": ..., "arguments": JSON}}}}',
                where,
            )
        calls.append({**call, "function": {**function, "arguments": arguments}})
    return calls


def _tools(given: Mapping[str, Any]) -> list[Any]:
    """The tools that the model may call; none with tool_choice=none."""
    tools: list[Any] = _of_kind(given, "tools", list, [])
    choice = given.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        _refuse("tool_choice is not supported here unless it is auto or none", "tool_choice")
    for at, tool in enumerate(tools):
        found: Any = cast("dict[str, Any]", tool).get("function") if isinstance(tool, dict) else None
        named = isinstance(found, dict) and isinstance(cast("dict[str, Any]", found).get("name"), str)
        if not named:
            _refuse(
                f'tools[{at}] must be {{"type": "function", "function": {{"name": ...}}}}', f"tools[{at}]"
            )
    return tools if choice == "auto" else []


def _stop(value: Any) -> list[str]:
    if value is None:
        return []
    stops = cast("list[Any]", value) if isinstance(value, list) else [value]
    if len(stops) > _MOST_STOPS or not all(isinstance(one, str) and one for one in stops):
        _refuse(f"stop must be a text, or a list of at most {_MOST_STOPS} texts, none of them empty", "stop")
    return cast("list[str]", stops)


def _max_tokens(given: Mapping[str, Any], longest: int) -> int | None:
    """Most tokens of the answer; max_completion_tokens is the newer name of max_tokens."""
    found = {
        name: _whole(given, name, 1, longest)
        for name in ("max_tokens", "max_completion_tokens")
        if name in given
    }
    if len(set(found.values())) > 1:
        _refuse(
            "max_tokens and max_completion_tokens are two names of one field; give one of them", "max_tokens"
        )
    return next(iter(found.values()), None)


def _whole(given: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = given.get(name)
    if value is not None and (type(value) is not int or not least <= value <= most):
        _refuse(f"{name} is {json.dumps(value)[:60]} and must be a whole number from {least} to {most}", name)
    return value


def _number(given: Mapping[str, Any], name: str, least: float, most: float, default: Any) -> Any:
    value = given.get(name, default)
    if value is default:
        return default
    if type(value) not in (int, float) or not least <= value <= most or not math.isfinite(value):
        _refuse(f"{name} is {json.dumps(value)[:60]} and must be a number from {least:g} to {most:g}", name)
    return float(value)


def _of_kind(given: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = given.get(name, default)
    if not isinstance(value, kind):
        words = {bool: "true or false", dict: "an object", list: "a list", str: "a text"}
        _refuse(f"{name} must be {words[kind]}", name)
    return value


def _refuse(message: str, param: str) -> NoReturn:
    raise RequestRefused(message, param=param)
