"""Direct preference optimization."""

from launcher.config import Config
from launcher.errors import PlanError
from launcher.methods.base import Key, Method
from launcher.methods.keys import (
    BETA,
    DISABLE_DROPOUT,
    LOSS_TYPE,
    SAMPLE_PROMPT,
    TRL_FIELDS,
    refuse_zero_beta,
)


def _check(config: Config) -> None:
    refuse_zero_beta(config)
    trainer = config.trainer
    if trainer.loss_type == "exo_pair" and not trainer.label_smoothing:
        raise PlanError("trainer.loss_type=exo_pair needs trainer.label_smoothing above 0, such as 1e-3")


SPEC = Method(
    title="direct preference optimization",
    about="Makes the chosen answer of a pair more likely than the rejected one, relative to the model before training.",
    source="Rafailov et al. (arXiv 2305.18290)",
    module="launcher.train.methods.dpo",
    learns_from=("pair",),
    keys=(
        SAMPLE_PROMPT,
        BETA,
        LOSS_TYPE,
        Key(
            name="label_smoothing",
            holds=lambda value: 0 <= value < 0.5,
            rule="at least 0 and below 0.5",
        ),
        DISABLE_DROPOUT,
    ),
    losses=(  # trl 1.16, dpo_config.py
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot"),
        *("aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    ),
    check=_check,
    unit="pairs",
    sequences=2,
    extra_passes=lambda config: 1,  # of the reference model
    reference=lambda config: True,
    disables_dropout=True,
    fields={
        "ld_alpha": (float, int),
        "f_divergence_type": (str,),
        "f_alpha_divergence_coef": (float, int),
        "use_weighting": (bool,),
        "discopop_tau": (float, int),
        "truncation_mode": (str,),
        "padding_free": (bool,),
        **TRL_FIELDS,
    },
    refused={"loss_weights": "a run has one trainer.loss_type, which needs no weight"},
    figures=("rewards/",),
)
