"""Reward models after Bradley and Terry."""

from launcher.methods.base import Key, Method
from launcher.methods.keys import DISABLE_DROPOUT, at_least_0
from launcher.rule import Rule

SPEC = Method(
    title="reward model",
    about="Trains a model that scores answers with a number: higher for the chosen answer of a pair than for the rejected one.",
    source="Ouyang et al. (arXiv 2203.02155), section 3.5",
    module="launcher.train.methods.reward",
    learns_from=("pair",),
    keys=(
        Key(name="center_rewards_coefficient", holds=at_least_0, rule="a number of at least 0"),
        DISABLE_DROPOUT,
    ),
    rules=(
        Rule(
            number=13,
            what="plugins.qlora with trainer=reward under ZeRO-3",
            reason="the head's number format differs from that of the other weights, and DeepSpeed 0.19.8 raises an "
            "AssertionError",
            way_out="use strategy=zero2 or fsdp2, or plugin=[lora]",
            broken=lambda run: run.four_bit and run.strategy.gathers_by_module,
        ),
    ),
    unit="pairs",
    sequences=2,
    scores=1,
    disables_dropout=True,
    fields={"pad_to_multiple_of": (int, str)},
    figures=("mean_reward", "accuracy", "margin"),
)
