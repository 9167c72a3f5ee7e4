"""A conversation with the trained model, or with its base model."""

import contextlib
import importlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from launcher.after.choose import choose_model
from launcher.after.worker import ModelProcess, showing, worker
from launcher.errors import UsageError
from launcher.output import print_text
from launcher.protocol.work.chats import AnswerDone, AnswerPiece, AskChat, ModelReady
from launcher.protocol.work.requests import ModelChoice, OpenChat
from launcher.protocol.work.results import WorkProgress

HELP = "Ctrl-D ends, Ctrl-C ends an answer, /new begins a new chat"
Turn = dict[str, str]


class Answer(TypedDict):
    """An answer of the model."""

    answer: str
    """Its text."""
    tokens: int
    """Tokens that were generated."""
    seconds: float
    """Seconds that the answer took."""


class ChatAnswer(Answer):
    """A question and the model's answer."""

    prompt: str
    """The question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """The model to ask, and the settings of generation."""

    base: bool
    """Ask the base model."""
    checkpoint: str | None
    """A step, or newest, instead of the finished model."""
    max_new_tokens: int
    temperature: float
    """The temperature of sampling; 0 always takes the most likely token."""
    trust_run: bool = False
    """Use a run of another user. The code of that run is executed with the rights of this user."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens} must be at least 1")
        if not 0 <= self.temperature <= 5:
            raise UsageError(f"--temperature {self.temperature:g} must be from 0 to 5")
        if self.base and self.checkpoint:
            raise UsageError("--base and --checkpoint name two different models; give one of them")

    def model(self, runs_dir: Path, name: str | None) -> ModelChoice:
        """The model, of a run or of an export; RunError if it has none."""
        return choose_model(
            runs_dir, name, checkpoint=self.checkpoint, base=self.base, trust_run=self.trust_run
        )


@dataclass(frozen=True, slots=True)
class Chat:
    """A model that is loaded and answers."""

    device: str
    _worker: ModelProcess

    def ask(self, messages: list[Turn], *, aloud: bool) -> Answer:
        """The answer, with its tokens and seconds; with `aloud` it is printed as it arrives. Ctrl-C ends it early."""
        self._worker.send(AskChat(messages=tuple(messages)))
        while True:
            try:
                reply = next(
                    self._worker.replies()
                )  # a new generator for each reply, because Ctrl-C ends the current one
                if isinstance(reply, AnswerDone):
                    if aloud:
                        print_text(flush=True)
                    return {"answer": reply.text, "tokens": reply.tokens, "seconds": reply.seconds}
                if aloud and isinstance(reply, AnswerPiece):
                    print_text(reply.text, end="", flush=True)
            except KeyboardInterrupt:
                self._worker.interrupt()

    def converse(self, begin: list[Turn]) -> None:
        """A dialogue with the user on a terminal, until the end of the input."""
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")  # makes input lines editable
        messages = list(begin)
        while True:
            try:
                line = input("you> ").strip()
            except EOFError:
                print_text()
                return
            if line == "/new":
                messages = list(begin)
            elif line:
                messages.append({"role": "user", "content": line})
                done = self.ask(messages, aloud=True)
                messages.append({"role": "assistant", "content": done["answer"].strip()})


@contextlib.contextmanager
def chatting(runs_dir: Path, name: str | None, request: ChatSettings) -> Generator[Chat]:
    """The loaded model of a run or of an export; it is unloaded at the end of the block."""
    chat = OpenChat(
        model=request.model(runs_dir, name),
        max_new_tokens=request.max_new_tokens,
        temperature=request.temperature,
    )
    with worker(chat) as work:
        yield Chat(wait_until_ready(work), work)


def wait_until_ready(work: ModelProcess) -> str:
    """The device of the model, once it is loaded."""
    with showing() as show:
        for reply in work.replies():
            if isinstance(reply, WorkProgress):
                show(reply)
            if isinstance(reply, ModelReady):
                return reply.device
    raise AssertionError("the worker exited with 0 but was never ready")
