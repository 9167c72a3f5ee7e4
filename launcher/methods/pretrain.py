"""Continued pre-training."""

from launcher.methods import sft
from launcher.methods.base import Method
from launcher.methods.keys import PACKING, ROUTER_AUX_LOSS_COEF, SAMPLE_PROMPT

SPEC = Method(
    title="continued pre-training",
    about="Trains on every token of plain text.",
    source="Gururangan et al. (arXiv 2004.10964)",
    module="launcher.train.methods.pretrain",
    learns_from=("text",),
    keys=(PACKING, SAMPLE_PROMPT, ROUTER_AUX_LOSS_COEF),
    arguments=sft.arguments,
    refused={**sft.REFUSED, "truncation_mode": "a text longer than model.max_length is split"},
    next_token_loss=True,
    shares_base=True,
    shares_sequences=True,
)
