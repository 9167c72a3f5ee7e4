"""Configuration -> (run dir, plan): what launch and plan share. Reads the machine, writes nothing."""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from launcher import __version__
from launcher.clusters.allocation import check_nodes
from launcher.clusters.choose import choose_kind, has_gpu
from launcher.clusters.slurm import KILL_WAIT_S, kill_wait_s
from launcher.config import ArchitectureConfig, Config, ContainerRuntime, Device
from launcher.errors import ConfigError
from launcher.hub import named_folders
from launcher.launching.compose import Composed
from launcher.launching.data_gate import check_data, count_examples, data_paths
from launcher.launching.earlier_runs import measured, resume_source
from launcher.launching.plugin_gate import check_plugins
from launcher.launching.reward_functions import check_reward_functions
from launcher.plan import Facts, LaunchPlan
from launcher.plan.model import read_architecture
from launcher.plan.place import SECRET_NAME
from launcher.plugins.base import make_plugins
from launcher.plugins.decide import decide
from launcher.resources import resource_dir
from launcher.run import RunDir, new_run_dir

_ANSWER_S = 2.0
"""Seconds to wait for Slurm to say how it is configured."""


def prepare(composed: Composed, moment: datetime) -> tuple[RunDir, LaunchPlan]:
    """The run's future folder and its plan; LauncherError for all that can be known to be wrong by now."""
    config = composed.config
    run = new_run_dir(Path(config.runs_dir).absolute(), config.name, moment, composed.trial)
    return run, prepare_in(composed, run)


def prepare_in(composed: Composed, run: RunDir) -> LaunchPlan:
    """The plan of a run in that folder, which may be there already."""
    facts = gather(composed.config, composed.experiment, run)
    plugins = make_plugins(composed.config.plugins)
    # the plan's refusals come before the data is read, which can take a while
    plan = decide(composed.config, facts, plugins)
    check_plugins(composed.config, facts, plugins)
    check_place(composed.config, facts, plan)
    return decide(composed.config, count(composed.config, facts), plugins)


def gather(config: Config, experiment: str | None, run: RunDir) -> Facts:
    """What the plan of a run in that folder must know of the machine, but for what is in the data."""
    check_secrets(config)
    kind = choose_kind(config.cluster.kind, os.environ)
    data = data_paths(config)
    bare = config.cluster.container.runtime is ContainerRuntime.none
    known = measured(Path(config.runs_dir).absolute(), config.name)
    return Facts(
        experiment=experiment,
        cluster=kind,
        device=_device(config, kind),
        run_dir=str(run.path),
        work_dir=str(Path.cwd()),
        cache_dir=str(Path(config.cache_dir).absolute()),
        hub_folders={} if bare else named_folders({**os.environ, **config.cluster.env}),
        data_path=data.training[0],
        data_sources=data.training if config.data.sources else (),
        eval_path=data.evaluation,
        python=config.cluster.python or sys.executable,
        architecture=_architecture(config),
        resume=resume_source(config),
        save_s=known["save_s"],
        restart_s=known["restart_s"],
        leave_s=known["leave_s"],
        kill_wait_s=kill_wait_s(_ANSWER_S) if kind != "local" else KILL_WAIT_S,
        version=__version__,
    )


def check_place(config: Config, facts: Facts, plan: LaunchPlan) -> None:
    """ClusterError or ConfigError for what a plan cannot know to be wrong."""
    check_reward_functions(config)
    if facts.cluster == "allocation":
        check_nodes(plan.topology.nodes, plan.spares)
    _check_evaluation(facts)


def count(config: Config, facts: Facts) -> Facts:
    """The facts with what is in the data; DataError for its first error."""
    return dataclasses.replace(facts, **count_examples(config, check_data(config)))


def _device(config: Config, kind: str) -> str:
    asked = config.resources.device
    if asked is not Device.auto:
        return asked.name
    # A login node has no GPU and the nodes have: only on this machine is looking here looking there.
    return "cuda" if kind != "local" or has_gpu() else "cpu"


def _architecture(config: Config) -> ArchitectureConfig | None:
    if config.model.architecture is not None:
        return config.model.architecture
    path = Path(config.model.name_or_path, "config.json")
    try:
        return read_architecture(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def _check_evaluation(facts: Facts) -> None:
    shipped = str(resource_dir("conf"))
    if facts.eval_path and facts.eval_path.startswith(shipped) and not facts.data_path.startswith(shipped):
        raise ConfigError(
            f"data.path={facts.data_path} is yours, but data.eval_path still is the shipped sample; "
            "set data.eval_path=FILE or data.eval_path=null"
        )


def check_secrets(config: Config) -> None:
    """ConfigError when a secret of the environment stands in the configuration, which is written to files."""
    refuse_secrets(repr(config), secrets_of(os.environ))


def secrets_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that hold secrets."""
    return {name: value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= 8}


def refuse_secrets(text: str, secrets: Mapping[str, str]) -> None:
    """ConfigError when one of them stands in the text of a configuration."""
    for name, value in secrets.items():
        if value in text:
            raise ConfigError(
                f"the value of {name} stands in the configuration, which is written to files; take it out: "
                f"jobs inherit {name}"
            )
