"""How a model's tokenizer is changed for a run: its chat template, further tokens, and the tokens that end and fill texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """What a launch has read of model.chat_template and its neighbours; plan.json holds it, so that a run keeps it."""

    name: str | None
    """model.chat_template as typed; None keeps the model's own template."""
    template: str | None
    """Its Jinja text."""
    control: tuple[str, ...]
    """Tokens that the template writes. Their embeddings are trained, and those that the model lacks are added."""
    added: tuple[str, ...]
    """model.added_tokens: ordinary tokens, which are added and trained."""
    eos: str | None
    """The token that ends an answer; None keeps the model's own."""
    pad: str | None
    """The token that fills rows up; None keeps the model's own."""

    @property
    def trained(self) -> tuple[str, ...]:
        """Tokens whose embeddings are trained, each once."""
        return tuple(dict.fromkeys((*self.control, *self.added)))


def format_from(written: Mapping[str, Any] | None) -> ChatFormat | None:
    """The value from its JSON object in plan.json."""
    if written is None:
        return None
    values: dict[str, Any] = {
        **written,
        "control": tuple(written["control"]),
        "added": tuple(written["added"]),
    }
    return ChatFormat(**values)
