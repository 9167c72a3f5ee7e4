"""Odds ratio preference optimization."""

from launcher.methods.base import Method
from launcher.methods.keys import BETA, DISABLE_DROPOUT, SAMPLE_PROMPT

SPEC = Method(
    title="odds ratio preference optimization",
    about="Fine-tunes on the chosen answer of a pair and away from the rejected one, without a reference model.",
    source="Hong et al. (arXiv 2403.07691)",
    module="launcher.train.methods.orpo",
    learns_from=("pair",),
    keys=(SAMPLE_PROMPT, BETA, DISABLE_DROPOUT),
    unit="pairs",
    sequences=2,
    disables_dropout=True,
    whole_logits=True,  # trl 1.16, experimental/orpo/orpo_trainer.py, concatenated_forward
    refused={
        "max_completion_length": "an answer may use all tokens of model.max_length that its prompt leaves",
        "padding_value": "the model's own padding token is used",
        "generate_during_eval": "trainer.sample_prompt shows an answer of the model",
        "is_encoder_decoder": "only causal language models are trained",
    },
    figures=("rewards/", "nll_loss"),
)
