"""Distillation: a student learns the distribution over the next token that a teacher predicts."""

from typing import Any

from launcher.config import Config
from launcher.errors import PlanError
from launcher.methods import sft
from launcher.methods.base import Key, Method
from launcher.methods.keys import ASSISTANT_ONLY_LOSS, PACKING, SAMPLE_PROMPT, above_0


def _check(config: Config) -> None:
    trainer, model = config.trainer, config.model
    if trainer.teacher and trainer.teacher_logits:
        raise PlanError(
            f"trainer.teacher={trainer.teacher} and trainer.teacher_logits={trainer.teacher_logits} are two teachers; use one: "
            "the stored output needs no model"
        )
    if not trainer.teacher and not trainer.teacher_logits:
        raise PlanError(
            "trainer.teacher=null: trainer.kind=distill learns from another model's predictions; name it, such as "
            "trainer.teacher=Qwen/Qwen2.5-7B-Instruct, or its stored output (trainer.teacher_logits), or use trainer=sft"
        )
    if model.added_tokens:
        raise PlanError(
            f"model.added_tokens={list(model.added_tokens)} are not in the vocabulary of the teacher, which predicts none of "
            "them; take them out, or teach them to the model with trainer=sft first"
        )


def _arguments(config: Config, accumulation: int) -> dict[str, Any]:
    return sft.arguments(config, accumulation)


SPEC = Method(
    title="knowledge distillation",
    about="Trains a student on chats or texts towards the next-token distribution of a larger teacher with the same tokenizer: "
    "at every trained token the loss is the divergence from the teacher's prediction, mixed with the ordinary cross-entropy.",
    source="Hinton et al. (arXiv 1503.02531); the divergences: Agarwal et al., GKD (arXiv 2306.13649), section 2",
    module="launcher.train.methods.distill",
    learns_from=("chat", "pair", "text"),
    keys=(
        PACKING,
        ASSISTANT_ONLY_LOSS,
        SAMPLE_PROMPT,
        Key(name="teacher", passed=False),
        Key(name="teacher_revision", passed=False),
        Key(name="teacher_logits", passed=False),
        Key(
            name="beta",
            passed=False,
            holds=lambda value: 0 <= value <= 1,
            rule="from 0 (forward KL) to 1 (reverse KL)",
        ),
        Key(name="temperature", passed=False, holds=above_0, rule="a number above 0"),
        Key(
            name="alpha",
            passed=False,
            holds=lambda value: 0 <= value < 1,
            rule="at least 0 and below 1, because 1 would not use the teacher; use trainer=sft for that",
        ),
    ),
    arguments=_arguments,
    check=_check,
    teacher=lambda config: config.trainer.teacher,
    whole_logits=True,
    refused={
        **sft.REFUSED,
        "loss_type": "trainer.beta chooses the divergence",
        "router_aux_loss_coef": "a router's auxiliary loss is not a part of this loss",
    },
    figures=("divergence", "cross_entropy"),
)
