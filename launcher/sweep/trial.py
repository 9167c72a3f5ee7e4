"""The run dir of one trial, written when the trial starts and compared with the plan made when the sweep was submitted."""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from launcher.errors import NotAsPlanned
from launcher.launching.compose import compose
from launcher.launching.freeze.freeze import with_code
from launcher.launching.write import write_run
from launcher.plugins.decide import decide, facts_from
from launcher.run import RunDir
from launcher.run.code import read_code, write_code
from launcher.run.events.launching import Planned
from launcher.sweep.folder import SweepDir
from launcher.sweep.plan_trials import Planner
from launcher.sweep.trials import digest


def write_trial(
    sweep: SweepDir,
    spec: Mapping[str, Any],
    number: int,
    typed: Sequence[str],
    planned: Mapping[str, Any] | None,
) -> RunDir:
    """The trial's run. Its folder is written unless it exists.

    `planned`: its line in trials.jsonl, or None if a sampler chose its values; without a digest it is planned again.
    NotAsPlanned if code, conf/ or environment now lead to another plan; LauncherError for values that cannot be planned.
    """
    run = sweep.trial(number)
    if run.path.is_dir():
        if run.read_events(Planned):
            return run
        shutil.rmtree(run.path)  # the write was interrupted, so nothing has started there
    code = read_code(sweep.as_run.code)
    folder = code.place(spec["config_dir"]) if code and spec["config_dir"] else spec["config_dir"]
    site = ["--config-dir", folder] if folder else []
    (composed,) = compose([*site, *spec["hydra"], *typed])
    composed = dataclasses.replace(composed, trial=str(number))
    if planned is None or planned["digest"] is None:
        plan, _ = Planner(sweep.path).plan(composed.config, composed.experiment, number)
    else:
        facts = facts_from({**spec["facts"][planned["facts"]], "run_dir": str(run.path)})
        plan = decide(composed.config, facts)
        if digest(composed.config, plan, sweep.path) != planned["digest"]:
            raise NotAsPlanned(
                f"trial {number} differs from the plan made when the sweep was submitted, because the launcher, conf/ or the "
                "environment has changed since; python -m launcher sweep resume plans it again"
            )
    write_run(run, with_code(plan, code), composed)
    if code:
        write_code(run.code, code)
    return run
