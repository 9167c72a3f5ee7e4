"""What a request to a served model may say, before any model sees it."""

import json
from typing import Any

import pytest

from launcher.after.serve.documents import Completion, RequestRefused
from launcher.after.serve.request import ChatRequest, parse_request

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def parsed(**more: Any) -> ChatRequest:
    return parse_request(json.dumps({**HELLO, **more}).encode(), 1024)


def test_a_request_without_settings_has_those_of_the_api():
    one = parsed()
    assert (one.temperature, one.top_p, one.seed, one.max_new_tokens, one.stop) == (1.0, None, None, None, [])
    assert not one.stream and one.messages == HELLO["messages"]


def test_every_setting_is_read_under_either_of_its_names():
    one = parsed(temperature=0, top_p=0.5, max_completion_tokens=7, stop="END", seed=3, stream=True, n=1)
    assert (one.temperature, one.top_p, one.max_new_tokens, one.stop, one.seed) == (0, 0.5, 7, ["END"], 3)
    assert one.stream and parsed(max_tokens=7).max_new_tokens == 7


def test_a_null_is_a_setting_that_is_not_given():
    assert parsed(temperature=None, stop=None, tools=None, logprobs=None) == parsed()


def test_parts_of_type_text_are_one_text_and_a_developer_is_the_system():
    turns = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}],
        },
        HELLO["messages"][0],
    ]
    assert parsed(messages=turns).messages[0] == {"role": "system", "content": "Be brief."}


def test_arguments_of_calls_become_objects_as_templates_expect_them():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    turns = [*HELLO["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
    read = parsed(messages=turns).messages[1]
    assert read["content"] == "" and read["tool_calls"][0]["function"]["arguments"] == {"x": 1}


def test_fields_that_do_not_change_the_answer_are_read_over():
    assert parsed(user="me", metadata={"a": "b"}, store=False) == parsed()


@pytest.mark.parametrize(
    ("more", "param", "said"),
    [
        ({"temprature": 1}, "temprature", "did you mean temperature?"),
        ({"n": 2}, "n", "leave it out, or set 1"),
        ({"n": True}, "n", "not supported"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"temperature": 2.1}, "temperature", "from 0 to 2"),
        ({"temperature": "0"}, "temperature", "must be a number"),
        ({"temperature": True}, "temperature", "must be a number"),
        ({"top_p": -1}, "top_p", "from 0 to 1"),
        ({"max_tokens": 0}, "max_tokens", "from 1 to 1024"),
        ({"max_tokens": 1025}, "max_tokens", "from 1 to 1024"),
        ({"max_tokens": 1.0}, "max_tokens", "whole number"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "two names"),
        ({"seed": 1 << 63}, "seed", "whole number"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"stop": ""}, "stop", "none of them empty"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream=true"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": "Hello"}, "messages", "must be a list"),
        ({"messages": ["Hello"]}, "messages[0]", "must be an object"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "one of system"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", "one of system"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is missing"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "must be a text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", "only text"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
         "messages[0].tool_calls", "must be calls"),
        ({"tools": [{"type": "function"}]}, "tools[0]", "must be"),
        ({"tools": {}}, "tools", "must be a list"),
        ({"tool_choice": "required"}, "tool_choice", "auto or none"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "auto or none"),
        ({"model": 1}, "model", "must be a text"),
        ({"model": None}, "model", "is missing"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_rule(more: dict[str, Any], param: str, said: str):
    with pytest.raises(RequestRefused) as caught:
        parsed(**more)
    error = caught.value.body["error"]
    assert (caught.value.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert said in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff{}",
        b'{"model": NaN}',
        b'{"model": "\\ud800"}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes):
    with pytest.raises(RequestRefused, match="JSON object"):
        parse_request(body, 1024)


def test_a_tool_choice_of_none_leaves_the_tools_out():
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert parsed(tools=tools).tools == tools
    assert parsed(tools=tools, tool_choice="none").tools == []


def test_the_pieces_of_an_answer_share_its_id():
    one = Completion.of("m")
    assert (
        one.chunk({"content": "x"})["id"]
        == one.whole("x", "stop", (1, 2))["id"]
        == one.last_chunk((1, 2))["id"]
    )
    assert one.whole("x", "stop", (1, 2))["usage"]["total_tokens"] == 3
