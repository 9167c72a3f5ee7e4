"""The shape of a run whose resources are `auto`: chosen before it is planned, with the table that says why."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from omegaconf import open_dict, read_write

from launcher.clusters.registry import find_cluster
from launcher.config.resources import is_auto
from launcher.errors import ConfigError, PlanError
from launcher.launching.composed import Composed
from launcher.launching.data_gate import check_data
from launcher.launching.facts import count, gather
from launcher.output import columns, say
from launcher.plugins.base import make_plugins
from launcher.run import RunDir
from launcher.units import duration, number, significant

if TYPE_CHECKING:  # most runs have one shape
    from launcher.plan.shapes import Choice, ComparedShapes, Offer, Shape

_HEAD = ("nodes x GPUs", "fits", "starts", "takes", "finishes", "GPU-hours", "cost", "")


class ShapeRow(TypedDict):
    """One shape that resources.auto has compared."""

    nodes: int
    """Nodes that train."""
    gpus_per_node: int
    """Ranks per node."""
    chosen: bool
    """Whether the run takes it."""
    refused: str | None
    """Why the run cannot take it; null if it can."""
    fits: bool | None
    """Whether it fits the GPUs and the memory of the nodes; null if that is not known."""
    starts_in_s: float | None
    """Seconds until it would start; null if the scheduler does not say."""
    starts_how: str
    """How the start is known, or why it is not."""
    takes_s: float | None
    """Planned seconds of the run, or of what is left of it; null if they are not estimated."""
    finishes_in_s: float | None
    """Seconds until it would have finished; null if the start or the time is not known."""
    gpu_hours: float | None
    """GPU-hours of the run, or of what is left of it."""
    money: float | None
    """In the currency of cluster.price_per_gpu_hour."""


def settle_shape(composed: Composed, run: RunDir) -> Composed:
    """The configuration with the shape that is expected to finish first, whose table is printed; unchanged unless
    resources.auto is set. PlanError if no shape can be taken."""
    config = composed.config
    if not is_auto(config.resources):
        return composed
    from launcher.launching.offers import make_offers, own_shape, share_left
    from launcher.plan.shapes import ComparedShapes, choose

    if composed.trial is not None:
        refuse_in_sweep()
    facts = gather(config, composed.experiment, run)
    facts = count(config, facts, check_data(config))
    place = find_cluster(facts.cluster)
    plugins = make_plugins(config.plugins)
    offers = make_offers(config, facts, place, plugins, share_left(run))
    try:
        choice = choose(offers, own_shape(config))
    except PlanError:
        _say_table(offers, None)
        raise
    _say_table(offers, choice)
    return _with(composed, ComparedShapes(offers=tuple(offers), choice=choice))


def refuse_in_sweep() -> None:
    """Raises ConfigError: the trials of a sweep are queued as arrays of one shape."""
    raise ConfigError(
        "resources.auto=true chooses for one run, and the trials of a sweep are queued together; set resources.auto=false, "
        "resources.nodes and resources.gpus_per_node (`plan` with resources=auto shows which finish first)"
    )


def shape_note(composed: Composed) -> list[str]:
    """Why the run takes its shape, if resources.auto has chosen it."""
    return [f"resources.auto: {composed.compared.choice.why}"] if composed.compared else []


def shape_rows(compared: "ComparedShapes | None") -> list[ShapeRow]:
    """The shapes that were compared, for JSON; empty if resources.auto is not set."""
    if compared is None:
        return []
    chosen = compared.choice.shape
    return [
        {
            "nodes": offer.shape.nodes,
            "gpus_per_node": offer.shape.gpus_per_node,
            "chosen": offer.shape == chosen,
            "refused": offer.refused,
            "fits": offer.fits,
            "starts_in_s": _rounded(offer.starts_in_s),
            "starts_how": offer.starts_how,
            "takes_s": _rounded(offer.takes_s),
            "finishes_in_s": _rounded(offer.finishes_in_s),
            "gpu_hours": offer.gpu_hours,
            "money": offer.money,
        }
        for offer in compared.offers
    ]


def shape_table(offers: "Sequence[Offer]", chosen: "Shape | None") -> str:
    """The offers as a table; `?` stands for a value that is not known."""
    return columns(_HEAD, [_row(offer, offer.shape == chosen) for offer in offers])


def _row(offer: "Offer", chosen: bool) -> list[str]:
    if offer.refused is not None:
        return [str(offer.shape), "no", "", "", "", "", "", offer.refused.partition("; ")[0]]
    fits = {True: "yes", False: "no", None: "?"}[offer.fits]
    cost = "-" if offer.money is None else number(offer.money)
    hours = "?" if offer.gpu_hours is None else number(offer.gpu_hours)
    said = "chosen; " if chosen else ""
    return [
        str(offer.shape), fits, _in(offer.starts_in_s), _for(offer.takes_s), _in(offer.finishes_in_s), hours, cost,
        f"{said}{offer.starts_how}",
    ]  # fmt: skip


def _in(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"in {duration(seconds)}" if seconds >= 1 else "now"


def _for(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else significant(seconds)


def _say_table(offers: "Sequence[Offer]", choice: "Choice | None") -> None:
    if offers:
        say(
            f"resources.auto compares {len(offers)} shapes\n{shape_table(offers, choice.shape if choice else None)}"
        )
    if choice:
        say(f"resources.auto: {choice.why}")


def _with(composed: Composed, compared: "ComparedShapes") -> Composed:
    from launcher.launching.offers import with_shape

    shape = compared.choice.shape
    cfg = composed.cfg.copy()
    with read_write(cfg), open_dict(cfg):
        cfg.resources.nodes, cfg.resources.gpus_per_node = shape.nodes, shape.gpus_per_node
    return dataclasses.replace(
        composed, cfg=cfg, config=with_shape(composed.config, shape), compared=compared
    )
