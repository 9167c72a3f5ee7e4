"""Which trials may share one base model, what must be equal among them, and why a trial runs alone. Pure."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from launcher.clusters.registry import find_cluster
from launcher.config import Config, Init
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.plugins.base import Plugin
from launcher.trackers.registry import TRACKERS

_FREE = (
    "seed", "sweep", "trainer.learning_rate", "trainer.lr_scheduler_type", "trainer.lr_scheduler_kwargs",
    "trainer.warmup_steps", "trainer.weight_decay", "trainer.max_grad_norm", "trainer.max_steps", "trainer.num_train_epochs",
    "trainer.loss_spike", "trainer.adam_beta1", "trainer.adam_beta2", "trainer.adam_epsilon", "trainer.eval_steps",
    "trainer.logging_steps",
)  # fmt: skip
"""Keys that may differ between trials on one base model. What plugins add to them is in Plugin.sharing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A reason for which a trial cannot share its base model with others."""

    what: str
    """The setting, by its keys; `{value}` is the placeholder for what the trial has."""
    reason: str
    holds: Callable[[Config, LaunchPlan], Any]
    """The value that the trial has, if the reason holds for it; otherwise a false value."""


ALONE = (
    Alone(
        what="trainer.kind={value}",
        reason="the loss of this method is not computed for several trials",
        holds=lambda config, plan: None if find_method(plan.trainer).shares_base else plan.trainer,
    ),
    Alone(
        what="plugin=[...] without an adapter",
        reason="a trial that trains all weights has no frozen base to share",
        holds=lambda config, plan: plan.adapter is None,
    ),
    Alone(
        what="{value} ranks",
        reason="a group trains on one rank; use resources.nodes=1 resources.gpus_per_node=1",
        holds=lambda config, plan: plan.topology.world_size if plan.topology.world_size > 1 else None,
    ),
    Alone(
        what="strategy={value}",
        reason="its library keeps one training state to a process; use strategy=ddp",
        holds=lambda config, plan: None if plan.strategy.replicates and plan.deepspeed is None else plan.strategy.name,
    ),
    Alone(
        what="plugins.lora.load_in=8bit",
        reason="it has not been shown that LLM.int8() gives each trial the results of a lone run",
        holds=lambda config, plan: plan.adapter is not None and plan.adapter.eight_bit,
    ),
    Alone(
        what="model.chat_template or model.added_tokens with {value} new tokens",
        reason="their rows of the base model's embedding would be trained",
        holds=lambda config, plan: plan.adapter.tokens if plan.adapter else 0,
    ),
    Alone(
        what="trainer.{value}=true",
        reason="the compiled or hooked model belongs to one trial",
        holds=lambda config, plan: next(
            (name for name in ("torch_compile", "activation_offloading") if getattr(config.trainer, name)), None
        ),
    ),
    Alone(
        what="trainer.mlp_tile_tokens={value}",
        reason="tiles are set up in the model of one trial",
        holds=lambda config, plan: config.trainer.mlp_tile_tokens,
    ),
    Alone(
        what="trainer.args with {value}",
        reason="they are for the Trainer's own loop, which trials that train together do not use",
        holds=lambda config, plan: ", ".join(config.trainer.args),
    ),
    Alone(
        what="eval_job.every={value}",
        reason="the supervisor of a group queues no evaluations of its trials",
        holds=lambda config, plan: config.eval_job.every,
    ),
    Alone(
        what="tracker.kind={value}",
        reason="its library logs one run to a process; use tracker=none or mlflow",
        holds=lambda config, plan: None if TRACKERS.find(config.tracker.kind).several_runs else config.tracker.kind,
    ),
    Alone(
        what="cluster.rank_starter={value}",
        reason="only the launcher's own starter tells the ranks of a group apart; use cluster.rank_starter=launcher",
        holds=lambda config, plan: None if plan.rank_starter == "launcher" else plan.rank_starter,
    ),
    Alone(
        what="a job that may not be queued again (plugins.sharded_checkpoint.requeue, --no-requeue)",
        reason="the job that replaces it would not know the trials of its group",
        holds=lambda config, plan: find_cluster(plan.cluster).queued
        and not find_cluster(plan.cluster).may_requeue(plan.job_options),
    ),
)  # fmt: skip
"""All reasons that do not come from a plugin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What decides with which other trials a trial can share its base model."""

    key: str | None
    """Equal for trials that can; None for a trial that runs alone."""
    why_alone: str | None
    """Why it runs alone, in a sentence."""
    equal: Mapping[str, str]
    """The keys that must be equal, with this trial's values."""


def fit_of(config: Config, plan: LaunchPlan, plugins: Sequence[Plugin]) -> Fit:
    """What decides with which other trials this one can train."""
    named = zip(config.plugins, plugins, strict=True)
    free = {*_FREE, *(f"plugins.{name}.{option}" for name, one in named for option in one.sharing.free)}
    if config.model.init is Init.random:
        free.discard("seed")  # the base model's own weights are drawn from it
    equal = dict(_flat("", _values(config), free))
    why = next(_reasons(config, plan, plugins), None)
    key = hashlib.blake2b(repr(sorted(equal.items())).encode(), digest_size=6).hexdigest()
    return Fit(key=None if why else key, why_alone=why, equal=equal)


def differing(fits: Sequence[Fit]) -> dict[str, list[str]]:
    """The keys that must be equal in a group but differ among these trials, each with its values."""
    names = {name for one in fits for name in one.equal}
    found = {name: list(dict.fromkeys(one.equal.get(name, "null") for one in fits)) for name in sorted(names)}
    return {name: values for name, values in found.items() if len(values) > 1}


def _reasons(config: Config, plan: LaunchPlan, plugins: Sequence[Plugin]) -> Iterator[str]:
    for one in ALONE:
        if value := one.holds(config, plan):
            yield f"{one.what.format(value=value)}: {one.reason}"
    for name, plugin in zip(config.plugins, plugins, strict=True):
        if why := plugin.sharing.why_alone:
            yield f"plugins.{name}: {why}" if "=" not in why.partition(":")[0] else f"plugins.{name}.{why}"


def _values(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    return value


def _flat(prefix: str, value: Any, free: set[str]) -> Iterator[tuple[str, str]]:
    """(key, value as text) of everything under a value, without the free keys."""
    if prefix in free:
        return
    inner: Any = _values(value)
    if isinstance(inner, Mapping) and inner:
        for name, one in cast("Mapping[str, Any]", inner).items():
            yield from _flat(f"{prefix}.{name}".lstrip("."), one, free)
    else:
        yield prefix, inner.name if isinstance(inner, Enum) else repr(cast("object", inner)).strip("'")
