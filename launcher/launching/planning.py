"""Configuration -> run dir and plan, shared by launch, plan, resume and rehearse. Nothing is written."""

from datetime import datetime
from pathlib import Path
from typing import Any

from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.choose_shape import settle_shape
from launcher.launching.composed import Composed
from launcher.launching.data_gate import check_data
from launcher.launching.facts import count, gather
from launcher.launching.folder_gate import check_folders
from launcher.launching.machine_gate import check_machine, for_plan
from launcher.launching.place_gate import check_place, check_plugins
from launcher.plan import LaunchPlan
from launcher.plugins.base import make_plugins
from launcher.plugins.decide import decide
from launcher.run import RunDir, new_run_dir


@frozen_dataclass
class Prepared:
    """A run as it is planned."""

    run: RunDir
    """Its folder, which need not exist."""
    plan: LaunchPlan
    data: list[dict[str, Any]]
    """The reports of the data check on its training files (check_data)."""


def prepare(composed: Composed, moment: datetime) -> Prepared:
    """The run in its future folder; LauncherError for every fault that can be found by now."""
    return prepare_in(composed, run_dir(composed, moment))


def run_dir(composed: Composed, moment: datetime) -> RunDir:
    """The run's future folder."""
    config = composed.config
    return new_run_dir(Path(config.runs_dir).absolute(), config.name, moment, composed.trial)


@frozen_dataclass
class Looked:
    """What `plan` shows."""

    composed: Composed
    run: RunDir
    plan: LaunchPlan
    data: list[dict[str, Any]]
    """The reports of the data check."""
    note: str | None
    """Why it is planned for another cluster than the one found here."""


def look(composed: Composed, moment: datetime) -> Looked:
    """The same as `prepare`, for a plan that is only shown: what this machine could not run is planned for a queue."""
    run = RunDir(Path(composed.config.runs_dir).absolute() / composed.config.name)
    composed, note = for_plan(composed, gather(composed.config, composed.experiment, run))
    composed = settle_shape(composed, run)
    one = prepare(composed, moment)
    return Looked(composed=composed, run=one.run, plan=one.plan, data=one.data, note=note)


def prepare_in(composed: Composed, run: RunDir) -> Prepared:
    """The run in that folder, which can already exist."""
    if composed.config.hub.push is not None:
        from launcher.launching.push_target import check_push  # imported here: most runs push nothing

        check_push(composed.config, trial=composed.trial is not None)
    facts = gather(composed.config, composed.experiment, run)
    check_folders(composed.config, facts)
    check_machine(composed.config, facts)
    plugins = make_plugins(composed.config.plugins)
    # the plan's errors come before the data is read, which can take a while
    plan = decide(composed.config, facts, plugins)
    check_plugins(composed.config, facts, plugins)
    check_place(composed.config, facts, plan)
    data = check_data(composed.config)
    plan = decide(composed.config, count(composed.config, facts, data), plugins)
    return Prepared(run=run, plan=plan, data=data)
