"""Configuration -> (run dir, plan), shared by launch, plan, resume and rehearse. Nothing is written."""

from datetime import datetime
from pathlib import Path

from launcher.launching.compose import Composed
from launcher.launching.facts import count, gather
from launcher.launching.place_gate import check_place
from launcher.launching.plugin_gate import check_plugins
from launcher.plan import LaunchPlan
from launcher.plugins.base import make_plugins
from launcher.plugins.decide import decide
from launcher.run import RunDir, new_run_dir


def prepare(composed: Composed, moment: datetime) -> tuple[RunDir, LaunchPlan]:
    """The run's future folder and its plan; LauncherError for every fault that can be found by now."""
    config = composed.config
    run = new_run_dir(Path(config.runs_dir).absolute(), config.name, moment, composed.trial)
    return run, prepare_in(composed, run)


def prepare_in(composed: Composed, run: RunDir) -> LaunchPlan:
    """The plan of a run in that folder, which can already exist."""
    facts = gather(composed.config, composed.experiment, run)
    plugins = make_plugins(composed.config.plugins)
    # the plan's errors come before the data is read, which can take a while
    plan = decide(composed.config, facts, plugins)
    check_plugins(composed.config, facts, plugins)
    check_place(composed.config, facts, plan)
    return decide(composed.config, count(composed.config, facts), plugins)
