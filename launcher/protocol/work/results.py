"""What the process replies on the way, and the results of requests. What a verb prints under --json is such a result."""

from collections.abc import Callable
from typing import Any, TypedDict

from launcher.protocol.codec import Message, dataclass, kinds
from launcher.protocol.work.chats import ANSWERS
from launcher.protocol.work.scores import SCORES

Say = Callable[[Message], None]
"""Sends a reply to the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkProgress(Message):
    """What the process does now."""

    what: str
    """In a few words, such as `loading the model`."""
    done: int | None = None
    """Rows or examples that are done; None if they are not counted."""
    total: int | None = None
    """How many there are; None if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkError(Message):
    """The request has failed: the last reply."""

    message: str
    """Why, in one line."""
    exit_code: int
    """The exit code for the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """A run's adapter or model, written into a folder and checked."""

    run: str
    """name/date_time."""
    path: str
    """Absolute path of the folder."""
    kind: str
    """adapter, model, or merged: an adapter and its base as one model."""
    step: int | None
    """The step of its weights; null if it is not known."""
    dtype: str
    """Number format of its weights."""
    bytes: int
    """Size of the folder."""
    verified: str
    """logits if its logits equal the trained model's up to rounding; failed if they differ or could not be compared."""
    difference: float | None
    """Difference between its logits and the trained model's, relative to their size; null if the check failed."""
    tolerance: float | None
    """The largest difference that rounding explains. Above it the check fails, but the export is kept. Null if it failed."""
    why: str | None
    """Why the check failed; null if it did not fail."""
    effect: float | None
    """Difference between its logits and the base model's, relative to their size; null if not merged."""
    answers: bool
    """Whether it answers in a chat; a reward model or a classifier gives scores."""
    warning: str | None
    """What the user should know, in one sentence; null for nothing."""
    data: tuple[dict[str, Any], ...]
    """The files that it was trained on, with their digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDone(Message):
    """The result of MakeExport."""

    export: ExportedModel
    """What was written. It is a field because it has a `kind` of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedGguf(Message):
    """A run's model as a GGUF file, read back and compared."""

    run: str
    """name/date_time."""
    path: str
    """Absolute path of the folder: the file and its card."""
    file: str
    """Absolute path of the GGUF file."""
    type: str
    """The requested type."""
    step: int | None
    """The step of the weights; null if it is not known."""
    bytes: int
    """Size of the file."""
    tensors: int
    """Tensors in the file."""
    tensors_compared: int
    """Tensors whose values were compared with the model's."""
    difference: float | None
    """The largest difference of such a tensor, relative to its size; null if none could be compared by its name."""
    logits_difference: float | None
    """Difference of the logits of the file, opened by transformers, from those of the model; null if transformers cannot open
    its architecture, or the host has too little memory."""
    warning: str | None
    """What the user should know, in one sentence; null for nothing."""


class _Found(TypedDict):
    set: str
    """train or eval."""
    folder: str
    """Absolute path of its folder in the cache."""
    tokenized: bool
    """Whether this command made it; false if it was in the cache."""
    seconds: float
    """Seconds that it took."""
    rows: int
    """Sequences, after packing."""
    examples: int
    """Examples that were read."""
    left_out: int
    """Examples that were left out, because no token that is trained on lies within model.max_length."""


class TokenSet(_Found, total=False):
    """The tokens of the training set or of the evaluation set; for a method that compares answers, without the counts from
    `documents` on."""

    documents: int
    """Texts in the sequences."""
    tokens: int
    """Tokens of all sequences."""
    trained_tokens: int
    """Tokens that the loss counts."""
    longest: int
    """Tokens of the longest sequence."""
    filled: float
    """Share of tokens, as opposed to padding, if all sequences are padded to the longest."""
    cut: int
    """Examples that were cut at the end."""
    split: int
    """Plain texts that became several sequences."""
    lengths: dict[str, int]
    """Examples by their length in tokens before the cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized(Message):
    """The tokens of a run's data, in the cache where the run looks for them."""

    cache: str
    """Absolute path of the folder of all tokens."""
    workers: int
    """Number of processes that made the tokens."""
    sets: tuple[TokenSet, ...]
    """The training set, and the evaluation set if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtFolder(Message):
    """Where the stored output of a teacher is; launcher.data.stored_output.StoredOutput says what it belongs to."""

    folder: str
    """Absolute path of its folder: the value of trainer.teacher_logits."""
    made: bool
    """Whether this command made it; false if it was in the cache."""


REPLIES = kinds(WorkProgress, WorkError, *ANSWERS, ExportDone, ExportedGguf, *SCORES, Tokenized, TaughtFolder)
"""What a command accepts."""
