"""What follows the request for a model that stays loaded, in both directions: chats, requests of a server, texts, answers."""

from typing import Any

from launcher.protocol.codec import Message, dataclass, kinds

# command -> process


@dataclass(frozen=True, slots=True, kw_only=True)
class AskChat(Message):
    """Answer a chat, after OpenChat. SIGINT ends the answer early."""

    messages: tuple[dict[str, str], ...]
    """Its turns, each with role and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedChat(Message):
    """Answer one request of a server, after ServeModel."""

    id: int
    """Its number, from 1."""
    messages: tuple[dict[str, Any], ...]
    """Its messages, as chat templates take them."""
    tools: tuple[Any, ...]
    """The tools that the model may call, as chat templates take them."""
    temperature: float
    """Temperature of sampling; 0 always takes the most likely token."""
    top_p: float | None
    """Share of the probability that is sampled from; None: as the model's generation_config says."""
    max_new_tokens: int | None
    """Most tokens of the answer; None: as ServeModel says."""
    seed: int | None
    """Seed of sampling; None: another one for every answer."""
    stop: tuple[str, ...]
    """Texts that end the answer, and that are not part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAnswer(Message):
    """Nobody waits for the answer any more: end it early."""

    id: int
    """Number of the ServedChat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToSort(Message):
    """One text, after SortTexts without a file."""

    text: str
    """The text."""


CHATS = kinds(AskChat)
SERVED = kinds(ServedChat, CancelAnswer)
TEXTS = kinds(TextToSort)

# process -> command


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReady(Message):
    """The model is loaded."""

    device: str
    """cuda or cpu."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAccepted(Message):
    """The prompt of a ServedChat fits, and its answer begins."""

    tokens: int
    """Tokens of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRefused(Message):
    """A ServedChat that this model cannot answer."""

    reason: str
    """Why, as a sentence for whoever sent it."""
    param: str | None
    """The field of the request that is wrong."""
    code: str | None
    """OpenAI's code of the error, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFailed(Message):
    """A ServedChat whose answer has failed. The process goes on."""

    reason: str
    """Why, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPiece(Message):
    """The next piece of the answer."""

    text: str
    """Complete words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDone(Message):
    """The answer is complete."""

    text: str
    """All of it."""
    tokens: int
    """Tokens that were generated, with the one that ended the answer."""
    complete: bool
    """Whether the model or a text of `stop` ended it, and not max_new_tokens."""
    seconds: float
    """Seconds that it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatsOver(Message):
    """The result of OpenChat and ServeModel: no further chat follows."""

    answers: int
    """Chats that were answered or refused."""


ANSWERS = (ModelReady, PromptAccepted, PromptRefused, AnswerFailed, AnswerPiece, AnswerDone, ChatsOver)
