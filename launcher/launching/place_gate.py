"""Checks that a pure plan cannot make: missing functions, missing nodes of an allocation, evaluation data that does not fit."""

import os

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import ConfigError
from launcher.launching.rank_module import check_rank_module
from launcher.launching.reward_functions import check_reward_functions
from launcher.plan import Facts, LaunchPlan
from launcher.resources import resource_dir


def check_place(config: Config, facts: Facts, plan: LaunchPlan) -> None:
    """Raises ClusterError or ConfigError for a fault that a plan cannot see."""
    check_rank_module(config)
    check_reward_functions(config)
    find_cluster(facts.cluster).check_room(plan.topology.nodes, plan.spares, os.environ)
    _check_evaluation(facts)


def _check_evaluation(facts: Facts) -> None:
    shipped = str(resource_dir("conf"))
    if facts.eval_path and facts.eval_path.startswith(shipped) and not facts.data_path.startswith(shipped):
        raise ConfigError(
            f"data.path={facts.data_path} is your own, but data.eval_path is still the shipped sample; "
            "set data.eval_path=FILE or data.eval_path=null"
        )
