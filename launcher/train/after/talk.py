"""The verb chat: streams the answers to one chat after another."""

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import StoppingCriteria, TextStreamer

from launcher.errors import RunError
from launcher.run import RunDir
from launcher.train.after.__main__ import Say
from launcher.train.after.opened import Opened, open_folder, open_run, prompt_text, stop_ids


class _Pieces(TextStreamer):
    """Passes on each piece of text as soon as its words are complete."""

    def __init__(self, tokenizer: Any, say: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._say = say

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Passes on a piece that no longer changes."""
        if text:
            self._say(text)


class _Interrupt(StoppingCriteria):
    """Ends an answer when the command was interrupted."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.requested = True

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return torch.full((input_ids.shape[0],), self.requested, device=input_ids.device)


def answer(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The number of answered chats, once stdin ends; each chat is a line of stdin with its `messages`."""
    say(progress={"what": "loading the model"})
    if request["folder"]:
        opened = open_folder(Path(request["folder"]))
    else:
        opened = open_run(RunDir(Path(request["run_dir"])), request["checkpoint"], base=request["base"])
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
    tokenizer, model = opened.tokenizer, opened.model
    text = prompt_text(tokenizer, message["messages"])
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template).to(
        opened.device
    )
    length = inputs["input_ids"].shape[1]
    most = getattr(model.config, "max_position_embeddings", None)
    if most and length + request["max_new_tokens"] > most:
        raise RunError(
            f"the chat has {length} tokens, and with --max-new-tokens {request['max_new_tokens']} it exceeds the limit {most}; "
            "begin a new chat"
        )
    sampling = (
        {"do_sample": True, "temperature": request["temperature"]}
        if request["temperature"]
        else {"do_sample": False}
    )
    pieces: list[str] = []

    def hand_on(piece: str) -> None:
        pieces.append(piece)
        say(text=piece)

    begun = time.monotonic()
    with torch.no_grad():
        output = model.generate(
            **inputs,
            **sampling,
            max_new_tokens=request["max_new_tokens"],
            use_cache=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=stop_ids(model, tokenizer),
            streamer=_Pieces(tokenizer, hand_on),
            stopping_criteria=[interrupt],
        )
    tokens = output.shape[1] - length
    say(done={"answer": "".join(pieces), "tokens": tokens, "seconds": round(time.monotonic() - begun, 3)})
