"""Launching a sweep: all trials are planned, the folder is written, and its arrays are submitted or the trials run here."""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from launcher.clusters.base import Refused
from launcher.clusters.registry import choose_kind, find_cluster, make_cluster
from launcher.errors import RunError
from launcher.launching.compose import MultirunRequest
from launcher.launching.freeze.freeze import freeze, with_code
from launcher.launching.write import folder_mode, make_log_folders
from launcher.plan import few_cores
from launcher.run import write_text
from launcher.sweep.array import cut_short, note_reported, submit, written
from launcher.sweep.folder import SweepDir, find_begun
from launcher.sweep.planning import PreparedSweep, prepare_sweep
from launcher.sweep.result import LaunchedSweep, SweepResult, Tell
from launcher.sweep.resume_sweep import go_on


def launch_sweep(request: MultirunRequest, tell: Tell) -> SweepResult:
    """The result of the launch. If the trials are to run on this machine, the caller runs them."""
    if (begun := _begun(request)) is not None:
        return go_on(*begun, tell)
    prepared = prepare_sweep(request, datetime.now())
    queued = find_cluster(prepared.plan.cluster).queued
    if prepared.config.dry_run or not queued:
        prepared = write(prepared)
        return _reported(prepared, (), tell, here=not prepared.config.dry_run)
    cluster = make_cluster(prepared.plan.cluster)
    with cut_short(prepared.sweep.path.parent, prepared.spec["request"]) as cut:
        if cut is not None:
            prepared = dataclasses.replace(prepared, sweep=cut)
            note = f"resumes {cut.name}, whose submission was interrupted"
            found = _reported(prepared, submit(cut, cluster), tell, note)
            note_reported(cut)
            return found
    prepared = write_files(prepared)
    with written(prepared.sweep, prepared.spec):
        try:
            job_ids = submit(prepared.sweep, cluster)
        except Refused:
            if not prepared.sweep.jobs.exists():
                shutil.rmtree(prepared.sweep.path)  # no job of it is queued
            raise
        found = _reported(prepared, job_ids, tell)
        note_reported(prepared.sweep)
    return found


def _reported(
    prepared: PreparedSweep, job_ids: Sequence[str], tell: Tell, *notes: str, here: bool = False
) -> LaunchedSweep:
    """The result, after it was reported to the caller."""
    warning = few_cores(prepared.plan)
    notes = (*notes, f"warning: {warning}") if warning else notes
    found = LaunchedSweep(sweep=prepared.sweep, job_ids=job_ids, here=here, notes=notes, prepared=prepared)
    tell(found)
    return found


def _begun(request: MultirunRequest) -> tuple[SweepDir, str] | None:
    """The sweep that this job began before it was queued again, and a line that says so; None if there is none."""
    cluster = find_cluster(choose_kind(str(request.master.cluster.kind), os.environ))
    job = None if cluster.queued else cluster.job(os.environ)
    if job is None or not job.restart:
        return None
    found = find_begun(Path(str(request.master.runs_dir)).absolute(), job.id, request.typed)
    return (found, f"job {job.id} resumes {found.path}") if found is not None else None


def write_files(prepared: PreparedSweep) -> PreparedSweep:
    """Creates the folder, under another name if it exists by now, with all files except sweep.json."""
    sweep, number = prepared.sweep, 1
    frozen = freeze(prepared.config, prepared.plan, prepared.spec["config_dir"])  # this can raise an error
    if frozen:
        plan = with_code(prepared.plan, frozen.of(sweep.as_run))
        prepared = dataclasses.replace(prepared, plan=plan)
    while True:
        try:
            sweep.path.parent.mkdir(parents=True, exist_ok=True)
            sweep.path.mkdir(mode=folder_mode(prepared.config))
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
    make_log_folders(prepared.plan, sweep.path)
    if frozen:
        frozen.write(sweep.as_run)
    for name, text in prepared.texts.items():
        (sweep.path / name).parent.mkdir(exist_ok=True)
        write_text(sweep.path / name, text.replace(str(prepared.sweep.path), str(sweep.path)))
    return dataclasses.replace(prepared, sweep=sweep)


def write(prepared: PreparedSweep) -> PreparedSweep:
    """The sweep, after its whole folder is written; for a sweep that is not submitted."""
    prepared = write_files(prepared)
    with written(prepared.sweep, prepared.spec):
        return prepared


def _no_folder(prepared: PreparedSweep, why: str) -> RunError:
    return RunError(
        f"runs_dir={prepared.config.runs_dir}: {prepared.sweep.path} cannot be created ({why}); choose another folder"
    )
