"""The verb serve: answers the requests of a server, one after another, and ends an answer that nobody waits for.

Each request is a line of stdin with its `id`; a line {"cancel": id} ends its answer early. The replies have the same id: first
{"accepted": tokens of the prompt} or {"refused": {...}}, then {"text": ...} for each piece, and {"done": {...}}.
"""

import json
import queue
import sys
import threading
from typing import Any

import torch

from launcher.data.mask import for_template, render_with
from launcher.data.rendering import left_out
from launcher.errors import DataError
from launcher.train.after.__main__ import Say
from launcher.train.after.generation import Sampling, generate, longest_chat, prompt_tokens
from launcher.train.after.opened import Opened, open_requested


class _Refused(Exception):
    """A request that this model cannot answer."""

    def __init__(self, message: str, *, param: str | None = "messages", code: str | None = None) -> None:
        super().__init__(message)
        self.reply = {"message": message, "param": param, "code": code}


class _Requests:
    """The lines of stdin, which a thread reads, so that a cancel arrives during an answer."""

    def __init__(self) -> None:
        self._cancelled = -1
        self._waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """The next request; None at the end of stdin."""
        return self._waiting.get()

    def is_cancelled(self, number: int) -> bool:
        """Whether the answer to that request is no longer wanted."""
        return number <= self._cancelled

    def _read(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if "cancel" in message:
                self._cancelled = message["cancel"]
            else:
                self._waiting.put(message)
        self._waiting.put(None)


def answer(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The number of requests, once stdin ends."""
    say(progress={"what": "loading the model"})
    opened = open_requested(request)
    requests = _Requests()
    say(ready=opened.device)
    count = 0
    while (message := requests.next()) is not None:
        number: int = message["id"]
        try:
            _answer(opened, message, request["max_new_tokens"], requests, say)
        except _Refused as error:
            say(id=number, refused=error.reply)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            say(id=number, failed="the GPU has too little memory for this chat; send a shorter one")
        count += 1
    return {"requests": count}


def _answer(opened: Opened, message: dict[str, Any], longest: int, requests: _Requests, say: Say) -> None:
    number = message["id"]
    inputs = prompt_tokens(opened, rendered(opened.tokenizer, message["messages"], message["tools"]))
    length = inputs["input_ids"].shape[1]
    if not length:
        raise _Refused("the prompt is empty; write something into the message")
    sampling = Sampling(
        max_new_tokens=_new_tokens(length, message["max_new_tokens"], longest, longest_chat(opened)),
        temperature=message["temperature"],
        top_p=message["top_p"],
        seed=message["seed"],
        stop=message["stop"],
    )
    say(id=number, accepted=length)
    done = generate(
        opened,
        inputs,
        sampling,
        lambda piece: say(id=number, text=piece),
        lambda: requests.is_cancelled(number),
    )
    say(
        id=number,
        done={
            "tokens": done.tokens,
            "finish_reason": "stop" if done.complete else "length",
            "seconds": done.seconds,
        },
    )


def rendered(tokenizer: Any, messages: list[dict[str, Any]], tools: list[Any]) -> str:
    """The prompt, which holds all of the messages and tools; _Refused if the template fails on them or leaves something out."""
    if not tokenizer.chat_template:
        if tools or len(messages) > 1:
            raise _Refused("this model has no chat template, so it takes one message and no tools")
        return messages[0]["content"]
    turns = for_template(messages, tokenizer)
    example = {"tools": tools} if tools else {}
    try:
        text: str = render_with(tokenizer, example, "")(turns, add_generation_prompt=True)
        bare: str = render_with(tokenizer, {}, "")(turns, add_generation_prompt=True) if tools else ""
    except DataError as error:
        raise _Refused(str(error)) from None
    if tools and bare == text:
        raise _Refused("the chat template of this model renders no tools; leave them out", param="tools")
    if missing := left_out(turns, text):
        raise _Refused(f"the chat template of this model does not render {missing}; leave it out")
    return text


def _new_tokens(length: int, wanted: int | None, longest: int, most: int | None) -> int:
    """Most tokens of the answer; _Refused if they do not fit into the model's context after a prompt of `length` tokens."""
    if most and length + (wanted or 1) > most:
        raise _Refused(
            f"the messages have {length} tokens, and with {wanted or 1} for the answer they exceed the {most} of this model's "
            "context; send fewer or shorter messages, or a smaller max_tokens",
            code="context_length_exceeded",
        )
    return wanted or (min(longest, most - length) if most else longest)
