"""When checkpoints are written, and which are kept.

The best interval, and the share of the wall time that is then useful training, follow from how often nodes fail.
"""

import math

from launcher.frozen_dataclass import frozen_dataclass

SAVE_S = 5.0
"""Assumed seconds that a save blocks training, until a run of that name has measured it."""
RESTART_S = 120.0
"""Assumed seconds from a failure to the next new step, until a run of that name has measured it."""
DAY_S = 86_400
LARGEST_EXPONENT = 700.0  # of e in a double


@frozen_dataclass
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


def mean_time_between_failures_s(nodes: int, per_1000_node_days: float) -> float:
    """Seconds between failures of a job on `nodes` nodes; infinite for a failure rate of 0.

    Source: the rate as Kokolis et al. report it, "Revisiting Reliability in Large-Scale Machine Learning Research
    Clusters" (arXiv 2410.21680), section 4: 6.5 failures per 1000 node-days on their larger cluster.
    """
    return 1000 * DAY_S / (nodes * per_1000_node_days) if per_1000_node_days > 0 else math.inf


def best_interval_s(save_s: float, mtbf_s: float) -> float:
    """Seconds of training between two saves that lose the least time; infinite for a failure rate of 0.

    `save_s` is how long one save blocks training. Source: Daly, "A higher order estimate of the optimum
    checkpoint interval for restart dumps" (FGCS 22, 2006), equation 37; its first term is Young's (CACM 17, 1974).
    """
    if math.isinf(mtbf_s):
        return math.inf
    if save_s >= 2 * mtbf_s:
        return mtbf_s
    ratio = save_s / (2 * mtbf_s)
    return math.sqrt(2 * save_s * mtbf_s) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save_s


def effective_training_time(interval_s: float, save_s: float, restart_s: float, mtbf_s: float) -> float:
    """Useful training / wall time, from 0 to 1, with a save every `interval_s` seconds of training.

    Times between failures are exponentially distributed; a failure costs `restart_s` and the training since the last save.
    Source: Daly (as above), equation 20.
    """
    if math.isinf(mtbf_s):
        return interval_s / (interval_s + save_s)
    if (restart_s + interval_s + save_s) / mtbf_s > LARGEST_EXPONENT:
        return 0.0
    lost = mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1((interval_s + save_s) / mtbf_s)
    return interval_s / lost
