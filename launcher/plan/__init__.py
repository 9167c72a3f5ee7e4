"""Makes a LaunchPlan from a configuration and facts, as a pure function."""

from launcher.plan.facts import Facts
from launcher.plan.fit import with_estimates
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.make import make_plan
from launcher.plan.verdict import check_fits, close_call, few_cores, little_memory

__all__ = [
    "Facts",
    "LaunchPlan",
    "check_fits",
    "close_call",
    "few_cores",
    "little_memory",
    "make_plan",
    "with_estimates",
]
