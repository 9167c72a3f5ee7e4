"""Which shape (nodes x GPUs) a run takes: the one that is expected to finish first, by what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from launcher.errors import PlanError
from launcher.units import duration, plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Nodes that train, and the ranks of each."""

    nodes: int
    gpus_per_node: int

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.nodes * self.gpus_per_node

    def __str__(self) -> str:
        """`2 x 8`."""
        return f"{self.nodes} x {self.gpus_per_node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One shape with what the plan and the queue say of it. A value is None if it is not known."""

    shape: Shape
    refused: str | None = None
    """Why the run cannot take it: its plan's or the scheduler's refusal."""
    fits: bool | None = None
    """Whether it fits the GPUs and the nodes' memory; None if their size or the need is not known."""
    starts_in_s: float | None = None
    """Seconds until it would start, 0 for at once."""
    starts_how: str = ""
    """How the start is known, or why it is not."""
    takes_s: float | None = None
    """Planned seconds of what is left of the run, over all attempts, without the time in the queue between them."""
    gpu_hours: float | None = None
    money: float | None = None
    """In the currency of cluster.price_per_gpu_hour."""

    @property
    def finishes_in_s(self) -> float | None:
        """Seconds until it would have finished."""
        return None if self.starts_in_s is None or self.takes_s is None else self.starts_in_s + self.takes_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The shape that the run takes, and why."""

    shape: Shape
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedShapes:
    """The shapes that were compared for a run, and the choice."""

    offers: tuple[Offer, ...]
    choice: Choice


def derive_shapes(gpus_of_a_node: int, most_nodes: int | None, global_batch_size: int) -> list[Shape]:
    """Powers of two: GPUs of one node up to all of them, then whole nodes; no more ranks than sequences of a step.

    `most_nodes`: nodes of the partition; None if they are not known, then the batch alone is the limit.
    """
    gpus = [count for count in _powers(gpus_of_a_node) if count < gpus_of_a_node]
    shapes = [Shape(nodes=1, gpus_per_node=count) for count in [*gpus, gpus_of_a_node]]
    nodes = _powers(most_nodes if most_nodes is not None else global_batch_size)
    shapes += [Shape(nodes=count, gpus_per_node=gpus_of_a_node) for count in nodes if count > 1]
    return [shape for shape in shapes if shape.world_size <= global_batch_size]


def choose(offers: Sequence[Offer], own: Shape) -> Choice:
    """The shape that finishes first; of those that finish at the same time, the one that takes the fewest GPU-hours.

    `own` is what resources.nodes and resources.gpus_per_node say. If no finish time is known, it is `own` if the run can take
    that, else the first shape that the run can take: nothing is guessed. PlanError if the run can take no shape.
    """
    able = [offer for offer in offers if offer.refused is None]
    if not able:
        raise PlanError(_none_fits(offers))
    known = [(finish, offer) for offer in able if (finish := offer.finishes_in_s) is not None]
    if known:
        finish, best = min(known, key=lambda one: (one[0], one[1].gpu_hours or 0.0, one[1].shape.world_size))
        unknown = len(able) - len(known)
        left_out = f"; {plural(unknown, 'shape')} without a known finish time not compared" if unknown else ""
        return Choice(
            shape=best.shape, why=f"{best.shape} is expected to finish first, in {duration(finish)}{left_out}"
        )
    missing = _missing(able)
    mine = next((offer for offer in able if offer.shape == own), None)
    if mine is not None:
        return Choice(
            shape=own,
            why=f"no finish time is known ({missing}), so {own} is taken, as the configuration says",
        )
    if len(able) == 1:
        return Choice(shape=able[0].shape, why=f"{able[0].shape} is the only shape that the run can take")
    return Choice(
        shape=able[0].shape,
        why=f"no finish time is known ({missing}), so {able[0].shape} is taken, the first that the run can take",
    )


def _powers(most: int) -> list[int]:
    return [1 << power for power in range(max(most, 1).bit_length())]


def _missing(able: Sequence[Offer]) -> str:
    """Why no finish time is known."""
    parts: list[str] = []
    if all(offer.takes_s is None for offer in able):
        parts.append("the time of the run is not estimated")
    if all(offer.starts_in_s is None for offer in able):
        parts.append(able[0].starts_how or "no start time is known")
    return "; ".join(parts) or "for each shape either the start time or the duration is not known"


def _none_fits(offers: Sequence[Offer]) -> str:
    if not offers:
        return "resources.shapes has no shape that the run could take; write one, such as [{nodes: 1, gpus_per_node: 8}]"
    first = offers[0]
    others = f"; the table shows the reasons of the {len(offers) - 1} others" if len(offers) > 1 else ""
    return f"resources.auto: the run can take no shape: {first.shape}: {first.refused}{others}"
