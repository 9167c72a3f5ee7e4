"""The verb chat: streams the answers to one chat after another."""

import json
import signal
import sys
from typing import Any

from launcher.errors import RunError
from launcher.train.after.__main__ import Say
from launcher.train.after.generation import Sampling, generate, longest_chat, prompt_tokens
from launcher.train.after.opened import Opened, open_requested, prompt_text


class _Interrupt:
    """Whether the command was interrupted during this answer."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.requested = True


def answer(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The number of answered chats, once stdin ends; each chat is a line of stdin with its `messages`."""
    say(progress={"what": "loading the model"})
    opened = open_requested(request)
    interrupt = _Interrupt()
    say(ready=opened.device)
    count = 0
    while line := sys.stdin.readline():
        interrupt.requested = False
        _answer(opened, json.loads(line), request, interrupt, say)
        count += 1
    return {"answers": count}


def _answer(
    opened: Opened, message: dict[str, Any], request: dict[str, Any], interrupt: _Interrupt, say: Say
) -> None:
    inputs = prompt_tokens(opened, prompt_text(opened.tokenizer, message["messages"]))
    length, most = inputs["input_ids"].shape[1], longest_chat(opened)
    if most and length + request["max_new_tokens"] > most:
        raise RunError(
            f"the chat has {length} tokens, and with --max-new-tokens {request['max_new_tokens']} it exceeds the limit {most}; "
            "begin a new chat"
        )
    sampling = Sampling(max_new_tokens=request["max_new_tokens"], temperature=request["temperature"])
    done = generate(opened, inputs, sampling, lambda piece: say(text=piece), lambda: interrupt.requested)
    say(done={"answer": done.text, "tokens": done.tokens, "seconds": done.seconds})
