"""When checkpoints are written, and which are kept."""

from dataclasses import dataclass

from launcher.plan.interval import best_interval_s, effective_training_time, mean_time_between_failures_s

SAVE_S = 5.0
"""Assumed seconds that a save blocks training, until a run of that name has measured it."""
RESTART_S = 120.0
"""Assumed seconds from a failure to the next new step, until a run of that name has measured it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePlan:
    """The planned saves of a run."""

    save_steps: int
    """Optimizer steps between checkpoints; 0: the ranks derive the interval, from save_every or from their measurements."""
    save_every: float | str | None
    """A share of the run, or `epoch`, from which the ranks derive save_steps; None if the plan could, and for `auto`."""
    keep_last: int
    """Newest checkpoints that are kept."""
    keep_every: int
    """Every checkpoint whose step is a multiple of this is kept; 0 keeps none."""
    keep_best: int
    """Checkpoints with the lowest evaluation loss that are kept."""
    weights_only: bool
    """Whether checkpoints lack the optimizer's state, so that a run resumes from one only with resume_weights_only=true."""
    asynchronous: bool
    """Whether files are written while training continues."""
    timeout_s: int
    """Seconds without a message from another rank's writer after which a save has failed."""
    save_s: float
    """Seconds that a save blocks training."""
    restart_s: float
    """Seconds from the start of an attempt to its first step."""
    mtbf_s: float | None
    """Mean time between failures of the whole job; None for a failure rate of 0."""
    best_interval_s: float | None
    """Daly's optimal interval for these figures; None for a failure rate of 0."""
    effective_training_time: float | None
    """Share of the wall time that is useful training, with saves at that interval."""


def make_save_plan(
    *,
    save_steps: int,
    save_every: float | str | None = None,
    keep: tuple[int, int, int],
    weights_only: bool = False,
    asynchronous: bool,
    timeout_s: int,
    nodes: int,
    failures_per_1000_node_days: float,
    save_s: float,
    restart_s: float,
) -> SavePlan:
    """The plan of a run's saves. `keep`: keep_last, keep_every and keep_best."""
    mtbf = mean_time_between_failures_s(nodes, failures_per_1000_node_days)
    interval = best_interval_s(save_s, mtbf)
    finite = interval < float("inf")
    return SavePlan(
        save_steps=save_steps,
        save_every=save_every,
        keep_last=keep[0],
        keep_every=keep[1],
        keep_best=keep[2],
        weights_only=weights_only,
        asynchronous=asynchronous,
        timeout_s=timeout_s,
        save_s=save_s,
        restart_s=restart_s,
        mtbf_s=mtbf if finite else None,
        best_interval_s=interval if finite else None,
        effective_training_time=effective_training_time(interval, save_s, restart_s, mtbf)
        if finite
        else None,
    )
