"""The verb chat: streams the answers to one chat after another."""

import signal
import sys
from typing import Any

from launcher.errors import RunError
from launcher.protocol.lines import read_lines
from launcher.protocol.work.chats import CHATS, AnswerPiece, AskChat, ChatsOver, ModelReady
from launcher.protocol.work.requests import OpenChat
from launcher.protocol.work.results import Say, WorkProgress
from launcher.train.after.generation import Sampling, generate, longest_chat, prompt_tokens
from launcher.train.after.opened import Opened, open_chosen, prompt_text


class _Interrupt:
    """Whether the command was interrupted during this answer."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.requested = True


def answer(request: OpenChat, say: Say) -> ChatsOver:
    """The number of answered chats, once stdin ends."""
    say(WorkProgress(what="loading the model"))
    opened = open_chosen(request.model)
    interrupt = _Interrupt()
    say(ModelReady(device=opened.device))
    count = 0
    for chat in read_lines(sys.stdin.buffer, CHATS):
        assert isinstance(chat, AskChat)
        interrupt.requested = False
        _answer(opened, chat, request, interrupt, say)
        count += 1
    return ChatsOver(answers=count)


def _answer(opened: Opened, chat: AskChat, request: OpenChat, interrupt: _Interrupt, say: Say) -> None:
    inputs = prompt_tokens(opened, prompt_text(opened.tokenizer, chat.messages))
    length, most = inputs["input_ids"].shape[1], longest_chat(opened)
    if most and length + request.max_new_tokens > most:
        raise RunError(
            f"the chat has {length} tokens, and with --max-new-tokens {request.max_new_tokens} it exceeds the limit {most}; "
            "begin a new chat"
        )
    sampling = Sampling(max_new_tokens=request.max_new_tokens, temperature=request.temperature)
    say(
        generate(
            opened,
            inputs,
            sampling,
            lambda piece: say(AnswerPiece(text=piece)),
            lambda: interrupt.requested,
        )
    )
