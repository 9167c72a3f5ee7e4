"""Figures of tasks for the tracker of a run, added by the process that has evaluated them."""

import os
from collections.abc import Mapping
from typing import Any

from launcher.config import read_config
from launcher.output import say, warn
from launcher.packages import missing
from launcher.run import RunDir
from launcher.trackers.describe import describe
from launcher.trackers.registry import TRACKERS

_SHOWN = 300


def track_scores(run: RunDir, step: int, values: Mapping[str, float]) -> None:
    """Adds figures at a step, and says where they are. An error of the tracker is only a warning: metrics.jsonl has them."""
    config = read_config(str(run.config))
    tracker = TRACKERS.find(config.tracker.kind)
    if lacking := missing(tracker.packages):
        warn(f"the tracker gets no figures of the tasks: {lacking[0].name} is missing; {lacking[0].install}")
        return
    plan: Any = run.read_json(run.plan)
    tracked = describe(
        run.path, run.name, config, run.attempts(), planned_dir=str(plan["facts"]["run_dir"]),
        method=str(plan["trainer"]), arguments=plan["trainer_args"],
    )  # fmt: skip
    try:
        where = tracker.add_figures(tracked, step, values, os.environ)
    except (
        Exception
    ) as error:  # the library of a tracker can raise anything, and the figures are in the run dir already
        told = str(error).strip().partition("\n")[0][:_SHOWN]
        warn(f"the tracker gets no figures of the tasks: {type(error).__name__}: {told}")
        return
    if where is not None:
        say(f"{config.tracker.kind} has the figures of the tasks at step {step}, {where}")
