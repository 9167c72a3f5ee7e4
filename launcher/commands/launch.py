"""python -m launcher +experiment=NAME [key=value ...]: plan a run, write it, start or submit it."""

import json
import os
import shlex
import sys
from datetime import datetime
from typing import Any

from launcher.clusters.allocation import Allocation
from launcher.clusters.choose import make_cluster, submit_command
from launcher.clusters.local import Local
from launcher.clusters.slurm import Slurm, requeued_job
from launcher.clusters.submission import cut_short, submitted
from launcher.errors import ClusterError, ConfigError, Exit
from launcher.launching.compose import Asked, Composed, compose
from launcher.launching.data_gate import check_data, print_warnings
from launcher.launching.hub_gate import check_hub
from launcher.launching.planning import prepare
from launcher.launching.summary import describe
from launcher.launching.write import find_cut_short, write_run
from launcher.plan import LaunchPlan, check_fits, close_call, few_cores
from launcher.plugins.decide import read_run
from launcher.run import RunDir, find_submitted


def main(arguments: list[str]) -> int:
    """The exit code: the run's own where it is followed to its end, 0 once everything is queued."""
    as_json = "--json" in arguments
    moment = datetime.now()
    sweeps: list[int] = []
    composed = compose(
        [argument for argument in arguments if argument != "--json"],
        take_sweep=lambda asked: sweeps.append(_launch_sweep(asked, as_json)),
        run_here=lambda one: launch_one(one, moment, as_json),
    )
    if sweeps:
        return sweeps[0]
    if again := [run for one in composed if (run := _requeued_run(one))]:
        return max(_start_here(run, Allocation(), as_json) for run in again)
    if any(one.config.sweep.search for one in composed):
        raise ConfigError("+sweep=NAME searches over many trials; put -m in front of it")
    # Every trial of a multirun is planned before the first is written.
    planned = [(one, *prepare(one, moment)) for one in composed]
    for one, _, plan in planned:
        check_fits(one.config, plan)
        if warning := close_call(one.config, plan):
            print(f"launcher: warning: {warning}", file=sys.stderr, flush=True)
        check_hub(one.config, plan)
    codes: list[int] = []
    for one in planned:
        codes.append(launch(*one, as_json))
        if codes[-1] in (Exit.INTERRUPTED, Exit.TERMINATED):
            break
    return max(codes, default=Exit.OK)


def _launch_sweep(asked: Asked, as_json: bool) -> int:
    from launcher.commands.sweep.launch import launch_sweep  # a single run has no time for what it imports

    return launch_sweep(asked, as_json)


def launch_one(composed: Composed, moment: datetime, as_json: bool) -> None:
    """Plans and starts one job of a multirun where a launcher of Hydra's has taken it; ClusterError where it ends badly."""
    run, plan = prepare(composed, moment)
    check_fits(composed.config, plan)
    if code := launch(composed, run, plan, as_json):
        raise ClusterError(f"{run.name} ended with exit code {code}; python -m launcher logs {run.name}")


def launch(composed: Composed, run: RunDir, plan: LaunchPlan, as_json: bool) -> int:
    """Writes and starts one planned run."""
    cluster = None if composed.config.dry_run else make_cluster(plan.cluster)
    if isinstance(cluster, Slurm) and (cut := find_cut_short(run, composed)):
        with cut_short(cluster, cut) as job_id:
            if job_id:
                print(
                    f"launcher: goes on with {cut.name}, whose submit was cut short",
                    file=sys.stderr,
                    flush=True,
                )
                _tell(composed, cut, read_run(cut).plan, as_json, job_id)
                return Exit.OK
    while not write_run(run, plan, composed):
        run, plan = prepare(composed, datetime.now())  # another launch of the same second took the folder
    return start(composed, run, plan, cluster, as_json)


def start(
    composed: Composed, run: RunDir, plan: LaunchPlan, cluster: Slurm | Local | None, as_json: bool
) -> int:
    """Submits a run whose files are written, or follows it to its end on this machine; None: a dry run."""
    if isinstance(cluster, Slurm):
        with submitted(cluster, run) as job_id:
            _tell(composed, run, plan, as_json, job_id)
        return Exit.OK
    _tell(composed, run, plan, as_json, dry_run=cluster is None)
    return _start_here(run, cluster, as_json) if cluster else Exit.OK


def _tell(
    composed: Composed,
    run: RunDir,
    plan: LaunchPlan,
    as_json: bool,
    job_id: str | None = None,
    *,
    dry_run: bool = False,
) -> None:
    summary: dict[str, Any] = {
        "run": run.name,
        "run_dir": str(run.path),
        "cluster": plan.cluster,
        "job_id": job_id,
        "dry_run": dry_run,
        "command": shlex.join(submit_command(plan.cluster, run)),
    }
    print_warnings(check_data(composed.config))
    if warning := few_cores(plan):
        print(f"launcher: warning: {warning}", file=sys.stderr, flush=True)
    print(json.dumps(summary) if as_json else describe(run, plan, summary), flush=True)


def _start_here(run: RunDir, cluster: Local, as_json: bool) -> int:
    """Runs the job script on this machine and shows its progress."""
    from launcher.status.follow import follow_process

    process = cluster.start(run)
    if isinstance(cluster, Allocation):
        run.note_job("allocation", cluster.job_id)
    else:
        run.note_job("local", str(process.pid))
    return follow_process(run, process, quiet=as_json)


def _requeued_run(composed: Composed) -> RunDir | None:
    """The run that this job started before Slurm queued it again: it goes on in the same run dir."""
    job_id = requeued_job(os.environ)
    if job_id is None:
        return None
    found = find_submitted(composed.config.runs_dir, composed.config.name, job_id)
    if found:
        print(f"launcher: job {job_id} goes on with {found.path}", file=sys.stderr)
    return found
