"""Group relative policy optimization."""

from typing import Any

from launcher.config import Config
from launcher.errors import PlanError
from launcher.methods.base import Draws, Key, Method
from launcher.methods.keys import BETA, DISABLE_DROPOUT, LOSS_TYPE, SAMPLE_PROMPT, above_0


def _answers(config: Config) -> int:
    return config.trainer.num_generations or 8


def _tokens(config: Config) -> int:
    return config.trainer.max_completion_length or max(1, config.model.max_length // 2)


def _arguments(config: Config, accumulation: int) -> dict[str, Any]:
    return {
        "num_generations": _answers(config),
        "max_completion_length": _tokens(config),
        # answers are generated for every step, so they come from the policy that they train
        "steps_per_generation": accumulation,
    }


def _check(config: Config) -> None:
    trainer, longest = config.trainer, config.model.max_length
    if _tokens(config) >= longest:
        raise PlanError(
            f"trainer.max_completion_length={trainer.max_completion_length} leaves no token of model.max_length={longest} for "
            "the prompt; set it below model.max_length"
        )
    _check_rewards(config)
    size, answers = config.batch.global_batch_size, _answers(config)
    if size % answers:
        rest = size % answers
        ways = [number for number in (size - rest, size - rest + answers) if number > 0]
        raise PlanError(
            f"batch.global_batch_size={size} answers are not a multiple of trainer.num_generations={answers}; use "
            + " or ".join(str(number) for number in ways)
        )


def _check_rewards(config: Config) -> None:
    trainer = config.trainer
    if not trainer.reward_functions:
        raise PlanError(
            "trainer.reward_functions is empty, and grpo learns from nothing else; set it, for example "
            "'trainer.reward_functions=[{_target_: my_rewards.length}]'"
        )
    for number, function in enumerate(trainer.reward_functions):
        target = function.get("_target_") if isinstance(function, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if not isinstance(target, str) or "." not in target.strip("."):
            raise PlanError(
                f"trainer.reward_functions[{number}]={function} must be {{_target_: module.function}}; further keys are the "
                "function's arguments"
            )
    weights = trainer.reward_weights
    if weights is not None and len(weights) != len(trainer.reward_functions):
        raise PlanError(
            f"trainer.reward_weights has {len(weights)} weights for {len(trainer.reward_functions)} of "
            "trainer.reward_functions; give one for each"
        )


SPEC = Method(
    title="group relative policy optimization",
    about="Generates several answers to each prompt, scores them with your functions, and makes those above the mean of their "
    "prompt more likely.",
    source="Shao et al. (arXiv 2402.03300)",
    module="launcher.train.methods.grpo",
    learns_from=("prompt",),
    keys=(
        SAMPLE_PROMPT,
        BETA,
        LOSS_TYPE,
        DISABLE_DROPOUT,
        Key(
            name="num_generations",
            holds=lambda value: value >= 2,
            rule="at least 2, because an answer is compared with the other answers to its prompt",
        ),
        Key(name="max_completion_length", holds=lambda value: value >= 1, rule="at least 1 token"),
        Key(name="temperature", holds=above_0, rule="a number above 0"),
        Key(name="top_p", holds=lambda value: 0 < value <= 1, rule="above 0 and at most 1"),
        Key(name="top_k", holds=lambda value: value >= 0, rule="at least 0"),
        Key(name="repetition_penalty", holds=above_0, rule="a number above 0"),
        Key(name="epsilon", holds=above_0, rule="a number above 0"),
        Key(
            name="scale_rewards",
            holds=lambda value: value in ("group", "batch", "none"),
            rule="group, batch or none",
        ),
        Key(name="reward_functions", passed=False),
        Key(name="reward_weights"),
    ),
    losses=("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),  # trl 1.16, grpo_config.py
    arguments=_arguments,
    max_length=False,
    check=_check,
    unit="answers",
    extra_passes=lambda config: 1 if config.trainer.beta else 0,
    reference=lambda config: bool(config.trainer.beta),
    draws=Draws(answers=_answers, tokens=_tokens),
    not_estimated="answers are generated during training",
    figures=("reward", "kl", "completions/mean_length"),
)
