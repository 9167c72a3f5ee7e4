"""python -m launcher +experiment=NAME [key=value ...]: plan a run, write it, start or submit it."""

import json
import os
import shlex
import sys
from datetime import datetime
from typing import Any

from omegaconf import OmegaConf

from launcher.clusters.allocation import Allocation
from launcher.clusters.choose import make_cluster, submit_command
from launcher.clusters.local import Local
from launcher.clusters.slurm import Slurm
from launcher.commands.compose import Composed, compose
from launcher.commands.data_gate import check_data, print_warnings
from launcher.commands.prepare import prepare
from launcher.commands.summary import describe
from launcher.errors import Exit, RunError
from launcher.plan import LaunchPlan, check_fits, close_call
from launcher.render import render
from launcher.run import RunDir, find_submitted, now, write_text


def main(arguments: list[str]) -> int:
    """The exit code: the run's own where it is followed to its end, 0 once everything is queued."""
    as_json = "--json" in arguments
    moment = datetime.now()
    composed = compose([argument for argument in arguments if argument != "--json"])
    if again := [run for one in composed if (run := _requeued_run(one))]:
        return max(_start_here(run, Allocation(), as_json) for run in again)
    # Every trial of a multirun is planned before the first is written.
    planned = [(one, *prepare(one, moment)) for one in composed]
    for one, _, plan in planned:
        check_fits(one.config, plan)
        if warning := close_call(one.config, plan):
            print(f"launcher: warning: {warning}", file=sys.stderr, flush=True)
    codes: list[int] = []
    for one in planned:
        codes.append(launch(*one, as_json))
        if codes[-1] in (Exit.INTERRUPTED, Exit.TERMINATED):
            break
    return max(codes, default=Exit.OK)


def launch(composed: Composed, run: RunDir, plan: LaunchPlan, as_json: bool) -> int:
    """Writes and starts one planned run."""
    dry_run = composed.config.dry_run
    cluster = None if dry_run else make_cluster(plan.cluster)
    while not write_run(run, plan, composed):
        run, plan = prepare(composed, datetime.now())  # another launch of the same second took the folder
    summary: dict[str, Any] = {
        "run": run.name,
        "run_dir": str(run.path),
        "cluster": plan.cluster,
        "job_id": None,
        "dry_run": dry_run,
        "command": shlex.join(submit_command(plan.cluster, run)),
    }
    if isinstance(cluster, Slurm):
        summary["job_id"] = cluster.submit(run)
        note_job(run, plan.cluster, summary["job_id"])
    print_warnings(check_data(composed.config))
    if as_json:
        print(json.dumps(summary), flush=True)
    else:
        print(describe(run, plan, summary), flush=True)
    return _start_here(run, cluster, as_json) if isinstance(cluster, Local) else Exit.OK


def write_run(run: RunDir, plan: LaunchPlan, composed: Composed) -> bool:
    """Makes the run dir with every file of the run; False, and nothing written, where it exists already."""
    texts = render(plan)  # before the folder: a refusal leaves nothing behind
    try:
        run.path.mkdir(parents=True)
    except FileExistsError:
        if run.path.is_dir():
            return False
        raise RunError(f"runs_dir={composed.config.runs_dir} is not a folder; choose another") from None
    except OSError as error:
        raise RunError(
            f"runs_dir={composed.config.runs_dir}: {run.path} cannot be made ({error.strerror}); choose another folder"
        ) from None
    run.logs.mkdir()  # Slurm fails in silence when it cannot write its log
    (run.path / ".hydra").mkdir()
    OmegaConf.save(composed.overrides, run.path / ".hydra" / "overrides.yaml")
    OmegaConf.save(composed.cfg, run.config, resolve=True)
    for name, text in texts.items():
        write_text(run.path / name, text)
    write_text(run.data_check, json.dumps(check_data(composed.config), indent=2, ensure_ascii=False) + "\n")
    run.add_event("planned", attempt=0, experiment=plan.experiment, cluster=plan.cluster)
    return True


def note_job(run: RunDir, kind: str, job_id: str) -> None:
    """Writes job.json and the event."""
    write_text(run.job, json.dumps({"cluster": kind, "job_id": job_id, "submitted": now()}) + "\n")
    run.add_event("submitted", attempt=0, cluster=kind, job_id=job_id)


def _start_here(run: RunDir, cluster: Local, as_json: bool) -> int:
    """Runs the job script on this machine and shows its progress."""
    from launcher.commands.follow import follow_process

    process = cluster.start(run)
    if isinstance(cluster, Allocation):
        note_job(run, "allocation", cluster.job_id)
    else:
        note_job(run, "local", str(process.pid))
    return follow_process(run, process, quiet=as_json)


def _requeued_run(composed: Composed) -> RunDir | None:
    """The run that this job started before Slurm queued it again: it goes on in the same run dir."""
    job_id = os.environ.get("SLURM_JOB_ID")
    if not job_id or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    found = find_submitted(composed.config.runs_dir, composed.config.name, job_id)
    if found:
        print(f"launcher: job {job_id} goes on with {found.path}", file=sys.stderr)
    return found
