"""Launching a sweep: all trials are planned, the folder is written, and its arrays are submitted or the trials run here."""

import dataclasses
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from launcher.clusters.base import Refused
from launcher.clusters.choose import choose_kind, make_cluster
from launcher.clusters.registry import find_cluster
from launcher.errors import Exit, RunError
from launcher.launching.compose import Asked
from launcher.plan import few_cores
from launcher.run import write_text
from launcher.sweep.array import cut_short, note_told, submit, written
from launcher.sweep.folder import SweepDir, find_begun
from launcher.sweep.local import run_here
from launcher.sweep.planning import Prepared, prepare_sweep
from launcher.sweep.resume import go_on


def launch_sweep(asked: Asked, as_json: bool) -> int:
    """The exit code: 0 once everything is queued; for trials that run here, 0 if all have succeeded."""
    if (begun := _begun(asked)) is not None:
        return go_on(begun, as_json=as_json)
    prepared = prepare_sweep(asked, datetime.now())
    if prepared.config.dry_run:
        write(prepared)
        tell(prepared, [], as_json)
        return Exit.OK
    if not find_cluster(prepared.plan.cluster).queued:
        write(prepared)
        tell(prepared, [], as_json)
        return run_here(prepared.sweep, quiet=as_json)
    cluster = make_cluster(prepared.plan.cluster)
    with cut_short(prepared.sweep.path.parent, prepared.spec["request"]) as cut:
        if cut is not None:
            print(
                f"launcher: resumes {cut.name}, whose submission was interrupted", file=sys.stderr, flush=True
            )
            prepared = dataclasses.replace(prepared, sweep=cut)
            tell(prepared, submit(cut, cluster), as_json)
            note_told(cut)
            return Exit.OK
    prepared = write_files(prepared)
    with written(prepared.sweep, prepared.spec):
        try:
            job_ids = submit(prepared.sweep, cluster)
        except Refused:
            if not prepared.sweep.jobs.exists():
                shutil.rmtree(prepared.sweep.path)  # nothing of it is queued
            raise
        tell(prepared, job_ids, as_json)
        note_told(prepared.sweep)
    return Exit.OK


def _begun(asked: Asked) -> SweepDir | None:
    """The sweep that this job began before it was queued again; None if there is none."""
    cluster = find_cluster(choose_kind(str(asked.master.cluster.kind), os.environ))
    job = None if cluster.queued else cluster.job(os.environ)
    if job is None or not job.restart:
        return None
    found = find_begun(Path(str(asked.master.runs_dir)).absolute(), job.id, asked.typed)
    if found is not None:
        print(f"launcher: job {job.id} resumes {found.path}", file=sys.stderr, flush=True)
    return found


def write_files(prepared: Prepared) -> Prepared:
    """Creates the folder, under another name if it exists by now, with all files except sweep.json."""
    sweep, number = prepared.sweep, 1
    while True:
        try:
            sweep.path.mkdir(parents=True)
            break
        except FileExistsError:
            if not sweep.path.is_dir():
                raise _no_folder(prepared, "a file has this name") from None
            number += 1
            sweep = SweepDir(prepared.sweep.path.with_name(f"{prepared.sweep.path.name}_{number}"))
        except OSError as error:
            raise _no_folder(prepared, str(error.strerror)) from None
    for folder in (sweep.as_run.logs, sweep.claims, sweep.outcomes):
        folder.mkdir()
    for name, text in prepared.texts.items():
        write_text(sweep.path / name, text.replace(str(prepared.sweep.path), str(sweep.path)))
    return dataclasses.replace(prepared, sweep=sweep)


def write(prepared: Prepared) -> None:
    """Writes the complete folder, for a sweep that is not submitted."""
    prepared = write_files(prepared)
    with written(prepared.sweep, prepared.spec):
        pass


def tell(prepared: Prepared, job_ids: Sequence[str], as_json: bool) -> None:
    """Prints what was done, and the next command."""
    sweep, spec = prepared.sweep, prepared.spec
    if warning := few_cores(prepared.plan):
        print(f"launcher: warning: {warning}", file=sys.stderr, flush=True)
    cluster = find_cluster(prepared.plan.cluster)
    command = [shlex.join(cluster.submit_command(sweep.path / array.script)) for array in prepared.arrays]
    number = len(prepared.trials) or spec["budget"]["trials"]
    if as_json:
        told = {
            "sweep": sweep.name, "sweep_dir": str(sweep.path), "cluster": spec["cluster"], "trials": number,
            "job_ids": list(job_ids), "dry_run": spec["dry_run"], "command": " && ".join(command),
        }  # fmt: skip
        print(json.dumps(told), flush=True)
        return
    how = "every combination" if spec["sampler"] == "grid" else f"{spec['sampler']}, {spec['pruner']} prunes"
    over = ", ".join(spec["parameters"]) or "nothing"
    print(f"sweep     {sweep.name}")
    print(f"folder    {sweep.path}")
    print(f"trials    {'until the budget is spent' if number is None else number} ({how}) over {over}")
    if job_ids:
        print(f"jobs      {', '.join(job_ids)}")
    elif spec["dry_run"]:
        print(f"dry run   nothing was submitted\nsubmit with  {' && '.join(command)}")
    print(f"next      python -m launcher sweep status {sweep.name}", flush=True)


def _no_folder(prepared: Prepared, why: str) -> RunError:
    return RunError(
        f"runs_dir={prepared.config.runs_dir}: {prepared.sweep.path} cannot be created ({why}); choose another folder"
    )
