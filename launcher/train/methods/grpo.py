"""Group relative policy optimization. Source: Shao et al. (arXiv 2402.03300)."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from launcher.errors import ConfigError
from launcher.methods.grpo import SPEC, reward_timeout_s
from launcher.train.data.order import GlobalOrder, GroupOrder
from launcher.train.generation import GenerationService
from launcher.train.methods.parts import Parts, RowParts
from launcher.train.methods.rows import Sets, both, prompts, read_prompts
from launcher.train.resumable import Resumable
from launcher.train.rewards.pool import Rewards
from launcher.train.upstream.trl_generation_server import generated_by
from launcher.train.upstream.trl_reference_adapter import leave_out_copy


def arguments() -> type:
    """trl's class of arguments."""
    return GRPOConfig


class ResumableGRPO(Resumable, GRPOTrainer):
    """trl's GRPO trainer with this project's checkpoints and order of prompts; its logs say how long it waited for a server."""

    service: GenerationService | None = None
    """The server that generates; None if the ranks do."""
    rewards: Rewards | None = None
    """The processes of the reward functions; None if these run in this rank."""

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Adds the time that the ranks have waited for answers and rewards, and the rewards that have failed."""
        if self.service is not None and "loss" in logs:
            logs.update(self.service.figures())
        if self.rewards is not None and "loss" in logs:
            logs.update(self.rewards.figures())
        super().log(logs, *arguments, **options)

    def make_order(self, *arguments: Any) -> GlobalOrder:
        """The order of prompts, in which each is repeated once per generated answer."""
        return GroupOrder(*arguments, group=self.group)


def rows(parts: RowParts) -> Sets:
    """The prompts of both sets."""
    return both(parts, prompts(parts.tokenizer, parts.config))


def make(parts: Parts) -> Any:
    """The trainer, its reward functions and its data."""
    sets = rows(parts)
    # for a reference model, which trl loads itself from the source of the model
    parts.args.model_init_kwargs = {"revision": parts.config.model.revision or "main"}
    service, rewards = _service(parts), _rewards(parts)
    with generated_by(service):
        trainer = ResumableGRPO(
            reward_funcs=rewards.functions
            if rewards is not None
            else [
                _reward_function(number, function)
                for number, function in enumerate(parts.config.trainer.reward_functions)
            ],
            **parts.for_trl(*sets),
        )
    if service is not None:
        trainer.service, service.step = service, lambda: trainer.state.global_step
    if rewards is not None:
        trainer.rewards, rewards.note = rewards, trainer.note
    trainer.group = SPEC.generations(parts.config)
    trainer.data_collator = read_prompts
    leave_out_copy(trainer)
    return trainer


def _service(parts: Parts) -> GenerationService | None:
    """The server of this run; None without one. ConfigError without a supervisor, which would start it."""
    generation = parts.plan.generation
    if generation is None or not generation.is_server:
        return None
    if parts.heartbeat is None or not parts.heartbeat.heard:
        raise ConfigError(
            "generation.mode=server needs the supervisor of a job, which starts the server; start the run by its job.sbatch"
        )
    return GenerationService(generation, parts.heartbeat, parts.config.seed, parts.plan.rendezvous.ports)


def _rewards(parts: Parts) -> Rewards | None:
    """The reward processes of this rank; None if the functions run within it."""
    timeout_s, trainer = reward_timeout_s(parts.config), parts.config.trainer
    if not timeout_s:
        return None
    return Rewards(
        trainer.reward_functions,
        timeout_s,
        trainer.reward_if_failed,
        parts.config.seed,
        parts.args.process_index,
    )


def _reward_function(number: int, config: dict[str, Any]) -> Callable[..., Any]:
    """The function that `_target_` names, with the other keys as its arguments."""
    options = dict(config)
    target = str(options.pop("_target_"))
    module, _, name = target.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"trainer.reward_functions[{number}]._target_={target} cannot be imported: {error}"
        ) from None
    if not callable(function):
        raise ConfigError(f"trainer.reward_functions[{number}]._target_={target} is not a function; name one")
    return functools.partial(function, **options) if options else function
