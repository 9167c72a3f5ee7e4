"""What a plan cannot know to be wrong: functions that are not there, nodes that an allocation lacks, data of another kind."""

import os

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import ConfigError
from launcher.launching.rank_module import check_rank_module
from launcher.launching.reward_functions import check_reward_functions
from launcher.plan import Facts, LaunchPlan
from launcher.resources import resource_dir


def check_place(config: Config, facts: Facts, plan: LaunchPlan) -> None:
    """ClusterError or ConfigError for what a plan cannot know to be wrong."""
    check_rank_module(config)
    check_reward_functions(config)
    find_cluster(facts.cluster).check_room(plan.topology.nodes, plan.spares, os.environ)
    _check_evaluation(facts)


def _check_evaluation(facts: Facts) -> None:
    shipped = str(resource_dir("conf"))
    if facts.eval_path and facts.eval_path.startswith(shipped) and not facts.data_path.startswith(shipped):
        raise ConfigError(
            f"data.path={facts.data_path} is yours, but data.eval_path still is the shipped sample; "
            "set data.eval_path=FILE or data.eval_path=null"
        )
