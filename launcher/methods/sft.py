"""Supervised fine-tuning."""

from typing import Any

from launcher.config import Config
from launcher.methods.base import Method
from launcher.methods.keys import ASSISTANT_ONLY_LOSS, PACKING, ROUTER_AUX_LOSS_COEF, SAMPLE_PROMPT


def arguments(config: Config, accumulation: int) -> dict[str, Any]:
    """Arguments that disable trl's packing, because rows are already packed (launcher/train/data/packing.py)."""
    return {"packing": False}


REFUSED = {
    "loss_type": "the loss is the mean of the next-token losses over all trained tokens",
    "pad_to_multiple_of": "the launcher's own collator pads each batch to its longest row",
    "padding_free": "trainer.packing=true leaves no padding",
    "truncation_mode": "a row longer than model.max_length keeps its start",
}
"""Fields of trl's SFTConfig that the launcher's own rows and loss do not use."""


SPEC = Method(
    title="supervised fine-tuning",
    about="Trains on the assistant's turns of chats, or on plain text, by next-token prediction.",
    source="Ouyang et al. (arXiv 2203.02155), section 3.5",
    module="launcher.train.methods.sft",
    learns_from=("chat", "pair", "text"),
    keys=(PACKING, ASSISTANT_ONLY_LOSS, SAMPLE_PROMPT, ROUTER_AUX_LOSS_COEF),
    arguments=arguments,
    refused=REFUSED,
    next_token_loss=True,
    shares_base=True,
    shares_sequences=True,
)
