"""How a run goes through the queue: attempts, costs, and a shutdown in time.

Whether the time limit ends it early, how many attempts it takes and what it costs; how long the run needs after the order to
shut down, and how long before the time limit the order comes.
"""

import dataclasses
import math

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.config.spelling import limit_s
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.generation import gpus_of_a_node
from launcher.plan.launch_plan import LaunchPlan
from launcher.units import significant

_HOUR_S = 3_600
RESERVE_S = 5.0
"""Seconds between SIGTERM and SIGKILL that are reserved for the supervisor itself."""


@frozen_dataclass
class ExpectedCourse:
    """The expected course of a run over its attempts."""

    limit_h: float
    """Hours of the time limit of one attempt."""
    cut: bool
    """Whether the time limit ends the run before it is finished."""
    attempts: int | None
    """Number of attempts, including one for each expected node failure; None if the run would never finish."""
    wall_h: float | None
    """Hours over all attempts, without the time in the queue."""
    effective_training_time: float | None
    """Share of these hours that is useful training."""
    gpu_hours: float | None
    """GPU-hours of these hours; spare nodes count."""
    money: float | None
    """In the currency of cluster.price_per_gpu_hour; None if that is not set."""


def expect(config: Config, plan: LaunchPlan) -> ExpectedCourse | None:
    """The expected course; None if the plan does not know how long training takes.

    The useful time of an attempt is its time limit less the start and what is lost at the end: the time of the signal before
    the limit if the run then saves, else half an interval between saves. Without saves every attempt starts from step 0. Spare
    nodes cost the same as nodes that train. Source: launcher/plan/save.py for failures of nodes.
    """
    if plan.time is None or plan.time.total_h is None:
        return None
    limit, save = limit_s(config.resources.time), plan.save
    if save and save.weights_only and not config.resume_weights_only:
        save = None  # no attempt continues from such a checkpoint
    training_s = plan.time.total_h * _HOUR_S
    share = save.effective_training_time if save and save.effective_training_time is not None else 1.0
    restart_s = plan.facts.restart_s
    wall_s = restart_s + (training_s / share if share else math.inf)
    cut = wall_s > limit
    lost_s = _warned_before_s(plan)
    if lost_s is None:
        lost_s = (save.save_steps * plan.time.step_s or save.best_interval_s or 0.0) / 2 if save else 0.0
    useful_s = limit - restart_s - lost_s
    attempts: int | None = 1
    if cut:
        attempts = math.ceil((wall_s - restart_s) / useful_s) if save and useful_s > 0 and share else None
        wall_s = wall_s + (attempts - 1) * (restart_s + lost_s) if attempts else math.inf
    failures = int(wall_s / save.mtbf_s) if save and save.mtbf_s and attempts else 0
    held = (plan.nodes + plan.spares) * gpus_of_a_node(plan.topology, plan.generation)
    gpu_hours = wall_s / _HOUR_S * held
    price = config.cluster.price_per_gpu_hour
    return ExpectedCourse(
        limit_h=significant(limit / _HOUR_S),
        cut=cut,
        attempts=None if attempts is None else attempts + failures,
        wall_h=None if attempts is None else significant(wall_s / _HOUR_S),
        effective_training_time=None if attempts is None else significant(training_s / wall_s),
        gpu_hours=None if attempts is None else significant(gpu_hours),
        money=None if attempts is None or price is None else significant(gpu_hours * price),
    )


def _warned_before_s(plan: LaunchPlan) -> float | None:
    """Seconds before the time limit at which the run gets the signal to save and shut down, whoever chose the signal; None if
    it gets no signal, for example in an allocation, which was not requested with these options."""
    return None if plan.save is None else find_cluster(plan.cluster).notice_s(plan.job_options)


def needs_s(plan: LaunchPlan, trials: int = 1) -> float:
    """Seconds from the order to shut down until all is saved, for a plan that saves: two steps and a save, as measured by the
    newest run of that name or as estimated. `trials` of a group on one base model take their steps and save one after the
    other, each as long as a lone run."""
    assert plan.save is not None
    return trials * (plan.facts.shutdown_s or 2 * (plan.time.step_s if plan.time else 0.0) + plan.save.save_s)


def fits_kill_wait(plan: LaunchPlan, trials: int = 1) -> bool:
    """Whether the shutdown is finished between the SIGTERM of a pre-emption and its SIGKILL."""
    return needs_s(plan, trials) + RESERVE_S <= plan.facts.kill_wait_s


def notice_s(shutdown_s: float, time: str) -> int:
    """Seconds before the time limit at which the run gets the signal to save and shut down: twice `shutdown_s` and a minute, at
    least 120 s, and 30 s more because Slurm checks the time limit only every 30 s (slurm.conf(5), OverTimeLimit); at most a
    third of the limit."""
    return min(max(120, round(2 * shutdown_s) + 60) + 30, limit_s(time) // 3)


def with_notice(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan with a signal before its time limit, if it saves and the cluster has such a signal."""
    if plan.save is None:
        return plan
    seconds = notice_s(needs_s(plan), config.resources.time)
    options = find_cluster(plan.cluster).with_notice(plan.job_options, seconds)
    return dataclasses.replace(plan, job_options=options)


def with_notice_of_group(config: Config, plan: LaunchPlan, trials: int) -> LaunchPlan:
    """The plan of a trial for the job of its group: the signal before the time limit leaves time for all `trials` to save,
    unless the site has set a signal itself."""
    if plan.save is None or trials < 2:
        return plan
    cluster, time = find_cluster(plan.cluster), config.resources.time
    of_one = cluster.with_notice({}, notice_s(needs_s(plan), time))
    rest = {
        flag: value
        for flag, value in plan.job_options.items()
        if flag in config.cluster.sbatch or of_one.get(flag) != value
    }
    options = cluster.with_notice(rest, notice_s(needs_s(plan, trials), time))
    return dataclasses.replace(plan, job_options=options)
