"""What a trainer kind takes: its hyperparameters, their ranges, and its part of trl's arguments."""

import dataclasses
from collections.abc import Callable
from typing import Any

from launcher.config import ArchitectureConfig, Config, TrainerConfig, TrainerKind
from launcher.errors import PlanError, unknown
from launcher.plan.model import count_parameters
from launcher.plan.topology import Batch

NEXT_TOKEN = ("sft", "pretrain")
"""Kinds whose loss is that of the next token, over one sequence a row; memory and time are estimated for these."""
_TRAINED = tuple(kind.name for kind in TrainerKind)

USES: dict[str, tuple[str, ...]] = {
    "packing": ("sft", "pretrain"),
    "assistant_only_loss": ("sft",),
    "sample_prompt": tuple(kind for kind in _TRAINED if kind != "reward"),
    "beta": ("dpo", "kto", "orpo", "grpo"),
    "loss_type": ("dpo", "kto", "grpo"),
    "label_smoothing": ("dpo",),
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
    "center_rewards_coefficient": ("reward",),
    "disable_dropout": ("dpo", "kto", "orpo", "reward", "grpo"),
    "num_generations": ("grpo",),
    "max_completion_length": ("grpo",),
    "temperature": ("grpo",),
    "top_p": ("grpo",),
    "top_k": ("grpo",),
    "repetition_penalty": ("grpo",),
    "epsilon": ("grpo",),
    "scale_rewards": ("grpo",),
    "reward_functions": ("grpo",),
    "reward_weights": ("grpo",),
}
"""Keys of the trainer that not every kind uses, and the kinds that do."""

LOSSES: dict[str, tuple[str, ...]] = {
    "dpo": (
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired"),
        *("apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    ),
    "kto": ("kto", "apo_zero_unpaired"),
    "grpo": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
}  # fmt: skip
"""Losses by kind. Source: trl 1.16, dpo_config.py, kto_config.py and grpo_config.py."""

_GENERATIONS = 8
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "beta": (lambda value: 0 <= value < float("inf"), "a number of at least 0"),
    "label_smoothing": (lambda value: 0 <= value < 0.5, "at least 0 and below 0.5"),
    "desirable_weight": (lambda value: 0 < value < float("inf"), "a number above 0"),
    "undesirable_weight": (lambda value: 0 < value < float("inf"), "a number above 0"),
    "center_rewards_coefficient": (lambda value: 0 <= value < float("inf"), "a number of at least 0"),
    "num_generations": (lambda value: value >= 2, "at least 2: an answer is held against the others of its prompt"),
    "max_completion_length": (lambda value: value >= 1, "at least 1 token"),
    "temperature": (lambda value: 0 < value < float("inf"), "a number above 0"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "top_k": (lambda value: value >= 0, "at least 0"),
    "repetition_penalty": (lambda value: 0 < value < float("inf"), "a number above 0"),
    "epsilon": (lambda value: 0 < value < float("inf"), "a number above 0"),
}  # fmt: skip


def check_objective(config: Config) -> None:
    """PlanError for a key that the kind does not use, and for a value outside of its range."""
    trainer, kind = config.trainer, config.trainer.kind.name
    defaults = {field.name: field.default for field in dataclasses.fields(TrainerConfig)}
    for key, kinds in USES.items():
        value = getattr(trainer, key)
        if kind not in kinds and value not in (defaults[key], None, []):
            raise PlanError(
                f"trainer.{key}={value} is not used by trainer.kind={kind}, but by {', '.join(kinds)}; take it out, or "
                f"use trainer={kinds[0]}"
            )
    for key, (holds, rule) in _RANGES.items():
        value = getattr(trainer, key)
        if value is not None and not holds(value):
            raise PlanError(f"trainer.{key}={value} must be {rule}")
    if trainer.loss_type is not None and trainer.loss_type not in LOSSES[kind]:
        raise PlanError(f"trainer.loss_type: {unknown(f'loss of {kind}', trainer.loss_type, LOSSES[kind])}")
    if trainer.loss_type == "exo_pair" and not trainer.label_smoothing:
        raise PlanError("trainer.loss_type=exo_pair needs trainer.label_smoothing above 0, such as 1e-3")
    if kind in ("dpo", "kto") and trainer.beta == 0:
        raise PlanError(f"trainer.beta=0 gives {kind} no gradient; use a number above 0, such as 0.1")
    if kind == "grpo":
        _check_grpo(config)


def _check_grpo(config: Config) -> None:
    trainer, longest = config.trainer, config.model.max_length
    if trainer.scale_rewards not in (None, "group", "batch", "none"):
        raise PlanError(f"trainer.scale_rewards={trainer.scale_rewards} must be group, batch or none")
    if completion_length(config) >= longest:
        raise PlanError(
            f"trainer.max_completion_length={trainer.max_completion_length} leaves no token of model.max_length={longest} for "
            "the prompt; use a smaller one, or raise model.max_length"
        )
    if not trainer.reward_functions:
        raise PlanError(
            "trainer.reward_functions is empty, and grpo learns from nothing else; set it, for example "
            "'trainer.reward_functions=[{_target_: my_rewards.length}]'"
        )
    for number, function in enumerate(trainer.reward_functions):
        target = function.get("_target_") if isinstance(function, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if not isinstance(target, str) or "." not in target.strip("."):
            raise PlanError(
                f"trainer.reward_functions[{number}]={function} must be {{_target_: module.function}}, further keys being the "
                "function's arguments"
            )
    weights = trainer.reward_weights
    if weights is not None and len(weights) != len(trainer.reward_functions):
        raise PlanError(
            f"trainer.reward_weights has {len(weights)} weights for {len(trainer.reward_functions)} of "
            "trainer.reward_functions; give one for each"
        )
    size, answers = config.batch.global_batch_size, generations(config)
    if size % answers:
        rest = size % answers
        ways = [number for number in (size - rest, size - rest + answers) if number > 0]
        raise PlanError(
            f"batch.global_batch_size={size} answers are not a multiple of trainer.num_generations={answers}; use "
            + " or ".join(str(number) for number in ways)
        )


def generations(config: Config) -> int:
    """Answers for each prompt; 1 where none are drawn."""
    return (config.trainer.num_generations or _GENERATIONS) if config.trainer.kind is TrainerKind.grpo else 1


def completion_length(config: Config) -> int:
    """Tokens that a drawn answer may have."""
    return config.trainer.max_completion_length or max(1, config.model.max_length // 2)


def has_reference(config: Config) -> bool:
    """Whether the loss holds the model against what it was before training."""
    kind = config.trainer.kind
    return kind in (TrainerKind.dpo, TrainerKind.kto) or (
        kind is TrainerKind.grpo and bool(config.trainer.beta)
    )


def count_trained(config: Config, shape: ArchitectureConfig) -> int:
    """Parameters of the model that is trained: a reward model has a head of one number in the place of the vocabulary's."""
    count = count_parameters(shape)
    if config.trainer.kind is not TrainerKind.reward:
        return count
    head = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size
    return count - head + shape.hidden_size


def objective_args(config: Config, batch: Batch) -> dict[str, Any]:
    """What the kind adds to the arguments, in the spelling of trl's class of arguments for it."""
    trainer, kind = config.trainer, config.trainer.kind.name
    if kind in ("sft", "pretrain"):
        # rows come packed: see launcher/train/data/packing.py
        return {"max_length": config.model.max_length, "packing": False}
    named = {
        key: getattr(trainer, key)
        for key, kinds in USES.items()
        if kind in kinds
        and key not in ("sample_prompt", "reward_functions")
        and getattr(trainer, key) is not None
    }
    if kind != "grpo":
        return {"max_length": config.model.max_length, **named}
    return {
        **named,
        "num_generations": generations(config),
        "max_completion_length": completion_length(config),
        # one draw for each step: its answers are then of the policy that they train
        "steps_per_generation": batch.gradient_accumulation_steps,
    }
