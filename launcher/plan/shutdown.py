"""A shutdown in time: how long a run needs from the order to shut down, and how long before the time limit it gets it."""

import dataclasses

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.config.time_limit import limit_s
from launcher.plan.launch_plan import LaunchPlan

RESERVE_S = 5.0
"""Seconds between SIGTERM and SIGKILL that are reserved for the supervisor itself."""


def needs_s(plan: LaunchPlan) -> float:
    """Seconds from the order to shut down until all is saved, for a plan that saves: two steps and a save, as measured by the
    newest run of that name or as estimated."""
    assert plan.save is not None
    return plan.facts.shutdown_s or 2 * (plan.time.step_s if plan.time else 0.0) + plan.save.save_s


def fits_kill_wait(plan: LaunchPlan) -> bool:
    """Whether the shutdown is finished between the SIGTERM of a pre-emption and its SIGKILL."""
    return needs_s(plan) + RESERVE_S <= plan.facts.kill_wait_s


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
