"""One trial on its worker: its run dir, and its job script as a child.

The run dir is written when the trial starts and compared with the plan made when the sweep was submitted. The worker passes
signals on to the script and prunes it if the study says so.
"""

import dataclasses
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launcher.errors import NotAsPlanned
from launcher.launching.compose import compose
from launcher.launching.data_gate import check_data
from launcher.launching.freeze.freeze import with_code
from launcher.launching.write import write_run
from launcher.plan.queue import with_notice_of_group
from launcher.plugins.decide import decide, facts_from
from launcher.processes import death_with_parent, exit_code
from launcher.run import RunDir
from launcher.run.code import read_code, write_code
from launcher.run.events.launching import Planned
from launcher.run.script import start_script
from launcher.supervise.children import StopSignal
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import Reports
from launcher.sweep.plan_trials import Planner
from launcher.sweep.trials import digest

_POLL_S = 0.1
_LOOK_S = 0.5
"""Seconds between two reads of the trial's reports."""


def write_trial(
    sweep: SweepDir,
    spec: Mapping[str, Any],
    number: int,
    typed: Sequence[str],
    planned: Mapping[str, Any] | None,
    into: RunDir | None = None,
) -> RunDir:
    """The trial's run. Its folder is written unless it exists. `into`: another folder for it, that of a group.

    `planned`: its line in trials.jsonl, or None if a sampler chose its values; without a digest it is planned again.
    NotAsPlanned if code, conf/ or environment now lead to another plan; LauncherError for values that cannot be planned.
    """
    run = into or sweep.trial(number)
    if run.path.is_dir():
        if run.read_events(Planned):
            return run
        shutil.rmtree(run.path)  # the write was interrupted, so nothing has started there
    code = read_code(sweep.as_run.code)
    folder = code.place(spec["config_dir"]) if code and spec["config_dir"] else spec["config_dir"]
    site = ["--config-dir", folder] if folder else []
    (composed,) = compose([*site, *spec["hydra"], *typed])
    composed = dataclasses.replace(composed, trial=str(number))
    if into is not None:
        facts = facts_from(sweep.trial(number).read_json(sweep.trial(number).plan)["facts"])
        plan = decide(composed.config, dataclasses.replace(facts, run_dir=str(into.path)))
        plan = with_notice_of_group(composed.config, plan, int(spec["together"]["trials"]))
    elif planned is None or planned["digest"] is None:
        plan, _ = Planner(sweep.path).plan(composed.config, composed.experiment, number)
    else:
        facts = facts_from({**spec["facts"][planned["facts"]], "run_dir": str(run.path)})
        plan = decide(composed.config, facts)
        if digest(composed.config, plan, sweep.path) != planned["digest"]:
            raise NotAsPlanned(
                f"trial {number} differs from the plan made when the sweep was submitted, because the launcher, conf/ or the "
                "environment has changed since; python -m launcher sweep resume plans it again"
            )
    write_run(run, with_code(plan, code), composed, check_data(composed.config))
    if code:
        write_code(run.code, code)
    return run


def carry(
    run: RunDir,
    objective: str,
    stopped: StopSignal,
    has_ended: Callable[[], bool],
    should_prune: Callable[[Mapping[int, float]], bool] | None,
) -> int:
    """The exit code of the job script, which becomes the trial's supervisor.

    The script gets the worker's signals, SIGTERM once the sweep `has_ended`, and SIGUSR2 once `should_prune` is true.
    `should_prune` gets the values of the objective by step, and is called again whenever there are more.
    """
    child = start_script(run, death_with_parent())
    reported, steps = Reports(run, objective), -1
    passed, looked = 0, 0.0
    while child.poll() is None:
        wanted = int(stopped.signal is not None or has_ended()) + int(stopped.again)
        if wanted > passed:
            passed = wanted
            child.send_signal(stopped.signal or signal.SIGTERM)
        if should_prune and time.monotonic() - looked > _LOOK_S:
            looked = time.monotonic()
            found = reported.read()
            if len(found) != steps:
                steps = len(found)
                if should_prune(found):
                    child.send_signal(signal.SIGUSR2)
                    should_prune = None
        time.sleep(_POLL_S)
    return exit_code(child.returncode)
