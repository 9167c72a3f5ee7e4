"""Checks that a pure plan cannot make: missing functions, missing nodes of an allocation."""

import os

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.launching.rank_module import check_rank_module
from launcher.launching.reward_functions import check_reward_functions
from launcher.plan import Facts, LaunchPlan


def check_place(config: Config, facts: Facts, plan: LaunchPlan) -> None:
    """Raises ClusterError, ConfigError or PlanError for a fault that a plan cannot see."""
    check_rank_module(config)
    check_reward_functions(config)
    find_cluster(facts.cluster).check_room(plan.topology.nodes, plan.spares, os.environ)
