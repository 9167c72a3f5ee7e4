"""Leaving in time: how long a run needs once it is told to end, and how long before the time limit it is told."""

import dataclasses

from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.sbatch import time_in_seconds

RESERVE_S = 5.0
"""Seconds of Slurm's KillWait that are left for the supervisor itself."""


def needs_s(plan: LaunchPlan) -> float:
    """Seconds from being told to end until all is saved, for a plan that saves: two steps and a save, as the newest run of
    that name measured them or as estimated."""
    assert plan.save is not None
    return plan.facts.shutdown_s or 2 * (plan.time.step_s if plan.time else 0.0) + plan.save.save_s


def fits_kill_wait(plan: LaunchPlan) -> bool:
    """Whether that is done between the SIGTERM of a pre-emption and its SIGKILL."""
    return needs_s(plan) + RESERVE_S <= plan.facts.kill_wait_s


def notice_s(shutdown_s: float, time: str) -> int:
    """Seconds before the time limit at which the run is told to save and leave: a minute and twice `shutdown_s`; at least 120,
    at most a third of the limit, and 30 more since Slurm looks at its clock that seldom (slurm.conf(5): OverTimeLimit is
    checked every 30 s)."""
    return min(max(120, round(2 * shutdown_s) + 60) + 30, time_in_seconds(time) // 3)


def with_notice(plan: LaunchPlan) -> LaunchPlan:
    """The plan with the signal before its time limit, where it saves and the site has not chosen a signal itself."""
    if plan.save is None or plan.cluster == "local" or "signal" in plan.sbatch:
        return plan
    signal = f"B:USR1@{notice_s(needs_s(plan), plan.sbatch['time'])}"
    return dataclasses.replace(plan, sbatch={**plan.sbatch, "signal": signal})
