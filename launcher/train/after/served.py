"""The verb serve: answers the requests of a server, one after another, and ends an answer that nobody waits for."""

import queue
import sys
import threading
from collections.abc import Sequence
from typing import Any

import torch

from launcher.data.mask import for_template, render_with
from launcher.data.rendering import left_out
from launcher.errors import DataError
from launcher.protocol.codec import ProtocolError
from launcher.protocol.lines import read_lines
from launcher.protocol.work.chats import (
    SERVED,
    AnswerFailed,
    AnswerPiece,
    CancelAnswer,
    ChatsOver,
    ModelReady,
    PromptAccepted,
    PromptRefused,
    ServedChat,
)
from launcher.protocol.work.requests import ServeModel
from launcher.protocol.work.results import Say, WorkProgress
from launcher.train.after.generation import Sampling, generate, longest_chat, prompt_tokens
from launcher.train.after.opened import Opened, open_chosen


class _Refused(Exception):
    """A request that this model cannot answer."""

    def __init__(self, message: str, *, param: str | None = "messages", code: str | None = None) -> None:
        super().__init__(message)
        self.reply = PromptRefused(reason=message, param=param, code=code)


class _Requests:
    """The lines of stdin, which a thread reads, so that a cancel arrives during an answer."""

    def __init__(self) -> None:
        self._cancelled = -1
        self._waiting: queue.SimpleQueue[ServedChat | ProtocolError | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> ServedChat | None:
        """The next request; None at the end of stdin. ProtocolError for a line that is none."""
        found = self._waiting.get()
        if isinstance(found, ProtocolError):
            raise found
        return found

    def is_cancelled(self, number: int) -> bool:
        """Whether the answer to that request is no longer wanted."""
        return number <= self._cancelled

    def _read(self) -> None:
        try:
            for message in read_lines(sys.stdin.buffer, SERVED):
                if isinstance(message, CancelAnswer):
                    self._cancelled = message.id
                elif isinstance(message, ServedChat):
                    self._waiting.put(message)
        except ProtocolError as error:
            self._waiting.put(error)
        self._waiting.put(None)


def answer(request: ServeModel, say: Say) -> ChatsOver:
    """The number of requests, once stdin ends."""
    say(WorkProgress(what="loading the model"))
    opened = open_chosen(request.model)
    requests = _Requests()
    say(ModelReady(device=opened.device))
    count = 0
    while (chat := requests.next()) is not None:
        try:
            _answer(opened, chat, request.max_new_tokens, requests, say)
        except _Refused as error:
            say(error.reply)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            say(AnswerFailed(reason="the GPU has too little memory for this chat; send a shorter one"))
        count += 1
    return ChatsOver(answers=count)


def _answer(opened: Opened, chat: ServedChat, longest: int, requests: _Requests, say: Say) -> None:
    inputs = prompt_tokens(opened, rendered(opened.tokenizer, chat.messages, chat.tools))
    length = inputs["input_ids"].shape[1]
    if not length:
        raise _Refused("the prompt is empty; write something into the message")
    sampling = Sampling(
        max_new_tokens=_new_tokens(length, chat.max_new_tokens, longest, longest_chat(opened)),
        temperature=chat.temperature,
        top_p=chat.top_p,
        seed=chat.seed,
        stop=chat.stop,
    )
    say(PromptAccepted(tokens=length))
    say(
        generate(
            opened,
            inputs,
            sampling,
            lambda piece: say(AnswerPiece(text=piece)),
            lambda: requests.is_cancelled(chat.id),
        )
    )


def rendered(tokenizer: Any, messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> str:
    """The prompt, which holds all of the messages and tools; _Refused if the template fails on them or leaves something out."""
    if not tokenizer.chat_template:
        if tools or len(messages) > 1:
            raise _Refused("this model has no chat template, so it takes one message and no tools")
        return messages[0]["content"]
    turns = for_template(messages, tokenizer)
    example = {"tools": list(tools)} if tools else {}
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
