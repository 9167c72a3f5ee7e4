"""A check before anything is queued of the packages that a run's tracker, plugins and attention kernel need."""

import importlib.util
import os
import sys
from collections.abc import Iterator

from launcher.clusters.registry import find_cluster
from launcher.config import Config, ContainerRuntime
from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.packages import TRAINING_STACK, Package, missing
from launcher.plan import LaunchPlan
from launcher.plan.names import ATTENTION_PACKAGES
from launcher.plugins.base import make_plugins
from launcher.trackers.registry import TRACKERS

_VLLM = Package(module="vllm", name="vllm", install="pip install 'trl[vllm]'")
"""The package that generates answers; ranks that send their weights to a vLLM server import it too."""
_STACK = ("torch", "transformers", "accelerate", "peft", "trl", "datasets")
"""What every run imports."""


@frozen_dataclass
class Need:
    """Alternative packages; the ranks import one of them."""

    key: str
    """The configured key and value that need them."""
    any_of: tuple[Package, ...]
    way_out: str


def check_packages(config: Config, plan: LaunchPlan) -> None:
    """Raises ConfigError for a package that the ranks will not find, if they use the running Python; skipped for a dry run."""
    if config.dry_run or not _is_this_python(config, plan):
        return
    queued = find_cluster(plan.cluster).queued
    lacking = [] if queued else [name for name in _STACK if importlib.util.find_spec(name) is None]
    if lacking:
        raise ConfigError(
            f"the run trains on this machine with {sys.executable}, which has no {', '.join(lacking)}; {TRAINING_STACK}, or "
            "set cluster.python to a Python that has it"
        )
    for need in needs_of(config, plan):
        if _lacks(need):
            raise ConfigError(_sentence(need))
    for lacking in (_compiler(config, plan), _model_code(config, plan)):
        if lacking:
            raise ConfigError(lacking)


def _model_code(config: Config, plan: LaunchPlan) -> str | None:
    """One sentence if transformers, as it is installed here, cannot make the model."""
    # the shapes that the planner knows are of models of transformers
    if plan.facts.architecture is not None or config.model.gguf_file:
        return None
    from launcher.launching.model_types import lacking_code  # imported here: most models have a known shape

    return lacking_code(config)


def _compiler(config: Config, plan: LaunchPlan) -> str | None:
    """One sentence if the nodes are this machine, and it cannot compile what an offloaded optimizer needs."""
    operators = plan.strategy.operators(config.trainer.optim)
    if not operators or find_cluster(plan.cluster).queued:
        return None
    from launcher.compiler import lacking_for  # imported here: most strategies compile nothing

    if not (lacking := lacking_for(operators, plan.device, os.environ)):
        return None
    return (
        f"strategy={plan.strategy.name} compiles {' and '.join(operators)} of DeepSpeed when it starts, and this machine lacks "
        f"{lacking}; or use strategy=zero3, which does not offload"
    )


def package_notes(config: Config, plan: LaunchPlan) -> list[str]:
    """A summary's notes on packages: those for which a launch would be refused, and those that cannot be checked here."""
    needs = list(needs_of(config, plan))
    if _is_this_python(config, plan):
        return refusals(config, plan)
    names = sorted({need.any_of[0].name for need in needs})
    if not names:
        return []
    runtime = config.cluster.container.runtime
    where = (
        f"in the container (cluster.container.runtime={runtime.name})"
        if runtime is not ContainerRuntime.none
        else f"for cluster.python={plan.facts.python}"
    )
    return [f"it cannot be known here whether {', '.join(names)} can be imported {where}; the ranks need it"]


def refusals(config: Config, plan: LaunchPlan) -> list[str]:
    """A note for everything for which a launch would be refused, as far as this machine can tell."""
    if not _is_this_python(config, plan):
        return []
    wrong = [_sentence(need) for need in needs_of(config, plan) if _lacks(need)]
    wrong += [lacking for lacking in (_compiler(config, plan), _model_code(config, plan)) if lacking]
    return [f"a launch is refused: {sentence}" for sentence in wrong]


def needs_of(config: Config, plan: LaunchPlan) -> Iterator[Need]:
    """The packages that the run needs beside the `train` extra."""
    kind = config.tracker.kind
    for package in TRACKERS.find(kind).packages:
        yield Need(key=f"tracker.kind={kind}", any_of=(package,), way_out="use tracker=none")
    for name, plugin in zip(config.plugins, make_plugins(config.plugins), strict=True):
        for package in plugin.packages:
            yield Need(key=f"plugins.{name}", any_of=(package,), way_out=f"remove {name} from plugin=[...]")
    if plan.generation is not None and plan.device == "cuda":
        yield Need(
            key=f"generation.mode={plan.generation.mode}", any_of=(_VLLM,), way_out="use generation.mode=none"
        )
    attention = config.model.attn_implementation
    if attention in ATTENTION_PACKAGES:
        yield Need(
            key=f"model.attn_implementation={attention}",
            any_of=ATTENTION_PACKAGES[attention],
            way_out="use model.attn_implementation=sdpa",
        )


def _is_this_python(config: Config, plan: LaunchPlan) -> bool:
    return config.cluster.container.runtime is ContainerRuntime.none and plan.facts.python == sys.executable


def _lacks(need: Need) -> bool:
    return len(missing(need.any_of)) == len(need.any_of)


def _sentence(need: Need) -> str:
    first = need.any_of[0]
    return f"{need.key} needs the package {first.name}, which is not installed here; {first.install}, or {need.way_out}"
