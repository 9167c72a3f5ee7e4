"""Another shape for a run whose resources are `auto`, when it is queued again: the one that would now finish first."""

from dataclasses import dataclass
from typing import Any

from launcher.clusters.base import Cluster
from launcher.config import read_config
from launcher.config.kept_yaml import read_mapping
from launcher.config.resources import is_auto
from launcher.errors import LauncherError
from launcher.output import say
from launcher.plan import LaunchPlan
from launcher.plan.shapes import Choice, Shape
from launcher.run import RunDir, write_text
from launcher.run.events.supervisor import Reshaped

# Everything else is imported inside functions: a supervisor needs it only when it queues such a run again.


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherShape:
    """Another shape than the present one, for what is left of the run."""

    plan: LaunchPlan
    choice: Choice
    before: Shape
    settings: dict[str, Any]
    """The run's config.yaml without the shape."""


def other_shape(run: RunDir, plan: LaunchPlan, cluster: Cluster, freed: int = 0) -> OtherShape | None:
    """The shape that is expected to finish first, if it is another than the run's; None as well if that is not known, the run
    has one shape, or its config.yaml cannot be read: it is queued again in any case. `freed`: nodes of the present job that can
    be used again."""
    from launcher.launching.offers import make_offers, own_shape, share_left, with_shape
    from launcher.plan.shapes import choose
    from launcher.plugins.base import make_plugins
    from launcher.plugins.decide import decide

    try:
        config, settings = read_config(str(run.config)), read_mapping(run.config)
        if not is_auto(config.resources):
            return None
        before = own_shape(config)
        plugins = make_plugins(config.plugins)
        choice = choose(make_offers(config, plan.facts, cluster, plugins, share_left(run), freed), before)
        if choice.shape == before:
            return None
        other = with_shape(config, choice.shape)
        found = decide(other, plan.facts, plugins)
    except LauncherError as error:
        say(f"the run keeps its shape: {error}")
        return None
    return OtherShape(plan=found, choice=choice, before=before, settings=settings)


def take(run: RunDir, other: OtherShape) -> None:
    """Writes the files of the run for that shape; those of the present one are kept under earlier/N."""
    _write(run, other, other.plan, other.before, other.choice.shape, other.choice.why)


def put_back(run: RunDir, other: OtherShape, plan: LaunchPlan, why: str) -> None:
    """Writes the files for the earlier shape again, to which `plan` belongs."""
    _write(run, other, plan, other.choice.shape, other.before, why)


def _write(run: RunDir, other: OtherShape, plan: LaunchPlan, before: Shape, after: Shape, why: str) -> None:
    from omegaconf import OmegaConf

    from launcher.launching.earlier_files import keep_earlier
    from launcher.render import render

    texts = render(plan)
    kept = keep_earlier(run, texts)
    cfg = OmegaConf.create(other.settings)
    OmegaConf.update(cfg, "resources.nodes", after.nodes)
    OmegaConf.update(cfg, "resources.gpus_per_node", after.gpus_per_node)
    write_text(run.config, OmegaConf.to_yaml(cfg))
    for name, text in texts.items():
        write_text(run.path / name, text)
    run.note(
        Reshaped(attempt=run.attempts(), before=str(before), after=str(after), reason=why, earlier=str(kept))
    )
