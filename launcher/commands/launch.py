"""python -m launcher +experiment=NAME [key=value ...]: plan a run, write it, start or submit it."""

import argparse
from datetime import datetime
from typing import Any

from launcher.cli.launched import Shown, add_verbose, follow, shown, tell
from launcher.cli.verb import Verb
from launcher.errors import ClusterError, ConfigError, Exit
from launcher.launching.compose import MultirunRequest, compose
from launcher.launching.composed import Composed
from launcher.launching.launch import (
    LaunchReport,
    PlannedRun,
    launch,
    plan_launch,
    plan_launches,
    restart_here,
)


def _run(options: argparse.Namespace) -> int:
    """The exit code: that of the run if it is followed to its end, 0 once everything is queued."""
    how = shown(options)
    as_json = how.json
    moment = datetime.now()
    sweeps: list[int] = []
    composed = compose(
        options.overrides,
        take_sweep=lambda request: sweeps.append(_launch_sweep(request, as_json)),
        run_here=lambda one: _launch_job(one, moment, how),
    )
    if sweeps:
        return sweeps[0]
    if again := [follow(*found, as_json) for one in composed if (found := restart_here(one))]:
        return max(again)
    if any(one.config.sweep.search for one in composed):
        raise ConfigError("+sweep=NAME searches over many trials; put -m in front of it")
    codes: list[int] = []
    for one in plan_launches(composed, moment):
        codes.append(_launch(one, how))
        if codes[-1] in (Exit.INTERRUPTED, Exit.TERMINATED):
            break
    return max(codes, default=Exit.OK)


def _launch(planned: PlannedRun, how: Shown) -> int:
    launched = launch(planned, lambda launched: tell(planned.composed, launched, how, planned.warnings))
    if launched.process is None:
        return Exit.OK
    return follow(launched.run, launched.process, how.json)


def _launch_job(composed: Composed, moment: datetime, how: Shown) -> None:
    """Plans and starts one job of a multirun for one of Hydra's launchers; ClusterError if the run fails."""
    planned = plan_launch(composed, moment)
    if code := _launch(planned, how):
        name = planned.run.name
        raise ClusterError(f"{name} ended with exit code {code}; python -m launcher logs {name}")


def _launch_sweep(request: MultirunRequest, as_json: bool) -> int:
    # imported here: a single run stays fast
    from launcher.cli.sweep import finish, teller
    from launcher.sweep.launch import launch_sweep

    return finish(launch_sweep(request, teller(as_json)), as_json)


def _prints() -> dict[str, Any]:
    from launcher.sweep.printed import SweepLaunched  # imported here: most launches are of one run

    return {"": LaunchReport, "with -m": SweepLaunched}


VERB = Verb(
    line="plan a run, write it, and submit it or start it here; the word launch can be omitted",
    about="With dry_run=true everything is written and nothing is submitted. "
    "With -m and comma-separated values it launches a sweep.",
    example="launch +experiment=quickstart\n-m +experiment=llama8b_lora 'trainer.learning_rate=1e-5,3e-5' dry_run=true",
    add=add_verbose,
    run=_run,
    prints=_prints,
    group="launch",
    overrides=True,
    runs_dir=False,
)
