"""Config -> LaunchPlan, pure."""

from launcher.plan.facts import Facts
from launcher.plan.launch_plan import LaunchPlan, make_plan

__all__ = ["Facts", "LaunchPlan", "make_plan"]
