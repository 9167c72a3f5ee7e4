"""A shutdown in time: how long a run needs from the order to shut down, and how long before the time limit it gets it."""

import dataclasses

from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.sbatch import time_in_seconds

RESERVE_S = 5.0
"""Seconds of Slurm's KillWait that are reserved for the supervisor itself."""


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
    return min(max(120, round(2 * shutdown_s) + 60) + 30, time_in_seconds(time) // 3)


def with_notice(plan: LaunchPlan) -> LaunchPlan:
    """The plan with a signal before its time limit, if it saves and the site has not chosen a signal itself."""
    if plan.save is None or plan.cluster == "local" or "signal" in plan.sbatch:
        return plan
    signal = f"B:USR1@{notice_s(needs_s(plan), plan.sbatch['time'])}"
    return dataclasses.replace(plan, sbatch={**plan.sbatch, "signal": signal})
