"""Kahneman-Tversky optimization."""

from launcher.config import Config
from launcher.methods.base import Key, Method
from launcher.methods.keys import (
    BETA,
    DISABLE_DROPOUT,
    LOSS_TYPE,
    SAMPLE_PROMPT,
    TRL_FIELDS,
    above_0,
    refuse_zero_beta,
)
from launcher.rule import Rule

_WITHOUT_KL = "apo_zero_unpaired"


def _extra_passes(config: Config) -> int:
    """1 pass of the reference model over the answer; with the KL term 2 more, of both models over another prompt's answer.

    Source: trl 1.16, kto_trainer.py, _compute_loss.
    """
    return 1 if config.trainer.loss_type == _WITHOUT_KL else 3


SPEC = Method(
    title="Kahneman-Tversky optimization",
    about="Learns from answers that are labelled good or bad, without pairs; a pair counts as one good and one bad answer.",
    source="Ethayarajh et al. (arXiv 2402.01306)",
    module="launcher.train.methods.kto",
    learns_from=("labelled", "pair"),
    keys=(
        SAMPLE_PROMPT,
        BETA,
        LOSS_TYPE,
        Key(name="desirable_weight", holds=above_0, rule="a number above 0"),
        Key(name="undesirable_weight", holds=above_0, rule="a number above 0"),
        DISABLE_DROPOUT,
    ),
    losses=("kto", _WITHOUT_KL),  # trl 1.16, kto_config.py
    check=refuse_zero_beta,
    rules=(
        Rule(
            number=3,
            what="trainer=kto with batch.micro_batch_size=1",
            reason="trl 1.16 refuses a batch of one, because its KL term would be the reward itself",
            way_out="use batch.micro_batch_size=2 or more, or trainer.loss_type=apo_zero_unpaired",
            broken=lambda run: run.loss_type in (None, "kto") and run.micro_batch_size == 1,
        ),
    ),
    unit="answers",
    extra_passes=_extra_passes,
    reference=lambda config: True,
    disables_dropout=True,
    fields=TRL_FIELDS,
    figures=("rewards/", "kl"),
)
