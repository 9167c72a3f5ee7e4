"""One answer of a model, piece by piece: for the verb chat, and for the requests of the verb serve."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, TextStreamer

from launcher.protocol.work.chats import AnswerDone
from launcher.train.after.opened import Opened, stop_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the tokens of an answer are chosen. What is None is as in the model's generation_config."""

    max_new_tokens: int
    temperature: float
    """0 always takes the most likely token."""
    top_p: float | None = None
    seed: int | None = None
    """None: every answer has another seed."""
    stop: Sequence[str] = ()
    """Texts that end the answer, and that are not part of it."""


class UpToStop:
    """Passes on the text before the first stop text. The end of the text is held back while it could begin a stop text."""

    def __init__(self, stop: Sequence[str], say: Callable[[str], None]) -> None:
        self.found = False
        self._stop, self._say, self._held = tuple(stop), say, ""

    def add(self, piece: str, *, last: bool) -> None:
        """Passes on the part of the text that cannot belong to a stop text; with `last` all of it."""
        if self.found:
            return
        text = self._held + piece
        places = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        self.found = bool(places)
        end = min(places) if places else len(text) - (0 if last else self._could_begin(text))
        self._held = "" if self.found else text[end:]
        if end:
            self._say(text[:end])

    def _could_begin(self, text: str) -> int:
        """Characters at the end of the text with which a stop text begins."""
        longest = max(map(len, self._stop), default=1) - 1
        lengths = range(min(longest, len(text)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(text[-n:]) for stop in self._stop)), 0)


class _Pieces(TextStreamer):
    """Passes on each piece of text as soon as its words are complete."""

    def __init__(self, tokenizer: Any, text: UpToStop) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._text = text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Passes on a piece that no longer changes."""
        self._text.add(text, last=stream_end)


class _Ended(StoppingCriteria):
    """Ends an answer when it is no longer wanted, or has a stop text."""

    def __init__(self, ended: Callable[[], bool]) -> None:
        self._ended = ended

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return torch.full((input_ids.shape[0],), self._ended(), device=input_ids.device)


def prompt_tokens(opened: Opened, text: str) -> Any:
    """input_ids and attention_mask of a rendered prompt, each [1, tokens], on the model's device."""
    tokenizer = opened.tokenizer
    found = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)
    return found.to(opened.device)


def longest_chat(opened: Opened) -> int | None:
    """Most tokens of a prompt and its answer; None if the model's configuration does not say."""
    return getattr(opened.model.config, "max_position_embeddings", None)


def generate(
    opened: Opened, inputs: Any, sampling: Sampling, hand_on: Callable[[str], None], ended: Callable[[], bool]
) -> AnswerDone:
    """The answer to a prompt; `hand_on` gets its pieces, and it ends early once `ended` is true."""
    model, length = opened.model, inputs["input_ids"].shape[1]
    chosen: dict[str, Any] = {"do_sample": False}
    if sampling.temperature:
        chosen = {"do_sample": True, "temperature": sampling.temperature}
        if sampling.top_p is not None:
            chosen["top_p"] = sampling.top_p
        if sampling.seed is None:
            torch.seed()  # an earlier request with a seed does not decide this answer
        else:
            torch.manual_seed(sampling.seed)
    pieces: list[str] = []

    def say(piece: str) -> None:
        pieces.append(piece)
        hand_on(piece)

    text, ends = UpToStop(sampling.stop, say), stop_ids(model, opened.tokenizer)
    begun = time.monotonic()
    with torch.no_grad():
        output = model.generate(
            **inputs,
            **chosen,
            max_new_tokens=sampling.max_new_tokens,
            use_cache=True,
            pad_token_id=opened.tokenizer.pad_token_id,
            eos_token_id=ends,
            streamer=_Pieces(opened.tokenizer, text),
            stopping_criteria=[_Ended(lambda: text.found or ended())],
        )
    return AnswerDone(
        text="".join(pieces),
        tokens=output.shape[1] - length,
        complete=text.found or int(output[0, -1]) in ends,
        seconds=round(time.monotonic() - begun, 3),
    )
