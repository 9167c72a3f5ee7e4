"""The methods of OpenAI's fine-tuning API: what each learns from, and the training method here that does the same."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiMethod:
    """One method. Source: OpenAI's API reference, "Create fine-tuning job"."""

    name: str
    """The API's name, also of --method."""
    rows: str
    """Kind of rows that it learns from, as in launcher.data.kinds."""
    trainer: str
    """trainer.kind of the same method here."""
    has_beta: bool = False
    """Whether it has the hyperparameter beta."""


METHODS: Mapping[str, ApiMethod] = {
    one.name: one
    for one in (
        ApiMethod(name="supervised", rows="chat", trainer="sft"),
        ApiMethod(name="dpo", rows="pair", trainer="dpo", has_beta=True),
    )
}
"""By the API's name; the first is the default."""
