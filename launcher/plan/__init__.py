"""Config -> LaunchPlan, pure."""

from launcher.plan.facts import Facts
from launcher.plan.launch_plan import LaunchPlan, check_fits, make_plan, with_memory

__all__ = ["Facts", "LaunchPlan", "check_fits", "make_plan", "with_memory"]
