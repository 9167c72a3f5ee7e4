"""The stored output of a teacher: what its folder says about it, read without the training stack.

A folder of the token cache holds it: commit.json with what it belongs to, `index.safetensors` with a digest of each row, and
numbered files with the most likely next tokens at each trained token.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.reading import object_in
from launcher.run.record import is_kind

COMMIT, INDEX = "commit.json", "index.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """What a teacher's stored output belongs to."""

    teacher: str
    """The teacher, as trainer.teacher named it."""
    tokenizer: str
    """Digest of the tokenizer of the trained model."""
    max_length: int
    """model.max_length of the rows."""
    packing: bool
    """Whether several documents share a row."""
    assistant_only_loss: bool
    """Whether only the tokens of answers are trained."""
    temperature: float
    """What the teacher's logits were divided by."""
    top_k: int
    """How many of the most likely next tokens are stored at each trained token."""
    vocabulary: int
    """Size of the vocabulary to which the probabilities belong."""
    rows: int
    """Rows, of both sets; equal rows count once."""
    tokens: int
    """Trained tokens: those that the loss counts."""
    left_out: float
    """Mean probability of the next tokens that are not stored; they count as one outcome."""

    @property
    def outcomes(self) -> int:
        """Probabilities at each token: those of the stored next tokens, and one of all others unless all are stored."""
        return self.top_k + (self.top_k < self.vocabulary)


def read_stored_output(folder: str) -> StoredOutput:
    """What the folder says; ConfigError if it is not a teacher's stored output."""
    told = f"trainer.teacher_logits={folder}"
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{told} is not a folder; give the one that `python -m launcher data teach` printed"
        )
    values: Any = (object_in(Path(folder, COMMIT)) or {}).get("facts")
    fields = get_type_hints(StoredOutput)
    known = cast("dict[str, Any]", values) if isinstance(values, dict) else {}
    if not all(is_kind(known.get(name), kind) for name, kind in fields.items()):
        raise ConfigError(
            f"{told} has no stored output of a teacher; give the folder that `python -m launcher data teach` printed"
        )
    return StoredOutput(**{name: known[name] for name in fields})


def check_stored_output(config: Config, output: StoredOutput) -> None:
    """ConfigError if a setting of the run differs from that with which the output was stored."""
    trainer = config.trainer
    own: dict[str, Any] = {
        "model.max_length": (config.model.max_length, output.max_length),
        "trainer.packing": (trainer.packing, output.packing),
        "trainer.assistant_only_loss": (trainer.assistant_only_loss, output.assistant_only_loss),
        "trainer.temperature": (
            1.0 if trainer.temperature is None else trainer.temperature,
            output.temperature,
        ),
    }
    for key, (here, stored) in own.items():
        if here != stored:
            raise ConfigError(
                f"{key}={here}, but trainer.teacher_logits={trainer.teacher_logits} was stored with {stored}; use that value, "
                "or run `python -m launcher data teach` again with the arguments of this command"
            )
