"""Launches planned runs: every file is written, then the run is submitted, or started on this machine."""

import dataclasses
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from launcher.clusters.base import Cluster
from launcher.clusters.registry import choose_kind, find_cluster, make_cluster
from launcher.clusters.submission import cut_short, submitted
from launcher.config import Config
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.choose_shape import ShapeRow, settle_shape, shape_note
from launcher.launching.composed import Composed
from launcher.launching.freeze.freeze import freeze, with_code
from launcher.launching.hub_gate import check_hub
from launcher.launching.machine_gate import check_host_memory, cpu_note
from launcher.launching.package_gate import check_packages, package_notes
from launcher.launching.plan_warnings import HowMuch, evaluation_note, learning_notes, print_warnings
from launcher.launching.planning import prepare, run_dir
from launcher.launching.tokens_made import tokens_note
from launcher.launching.write import find_cut_short, write_run
from launcher.output import say
from launcher.plan import LaunchPlan, check_fits
from launcher.plugins.decide import read_run
from launcher.run import RunDir, find_submitted


@frozen_dataclass
class PlannedRun:
    """A run that can be launched: it is planned, it fits, and its packages are installed."""

    composed: Composed
    run: RunDir
    plan: LaunchPlan
    data: list[dict[str, Any]]
    """The reports of the data check on its training files."""
    warnings: tuple[str, ...] | None = None
    """The warnings that were printed about it; None until they are printed."""


class LaunchReport(TypedDict):
    """A run that was queued, started on this machine, or only written (a dry run)."""

    run: str
    """name/date_time, by which every verb finds the run."""
    run_dir: str
    """Absolute path of its folder."""
    cluster: str
    """The cluster's name; for cluster.kind=auto the one that was chosen."""
    job_id: str | None
    """The scheduler's id of its job; null for a run on this machine and for a dry run."""
    dry_run: bool
    """Whether everything was written and nothing submitted."""
    command: str
    """The command that submits or starts the run by hand."""
    notes: list[str]
    """Sentences about decisions that the configuration left open, as the summary shows them."""
    training: HowMuch
    """How much it trains."""
    warnings: list[str]
    """The warnings that were printed before the launch, the most important first."""
    shapes: list[ShapeRow]
    """The shapes that resources.auto has compared; empty without it."""


@frozen_dataclass
class Launched:
    """The outcome of a launch: a job in a queue, a process on this machine, or only files (a dry run)."""

    run: RunDir
    plan: LaunchPlan
    job_id: str | None = None
    """None for a run on this machine and for a dry run."""
    dry_run: bool = False
    process: subprocess.Popen[bytes] | None = None
    """The job script if it runs on this machine, once it is started."""

    def report(
        self, notes: list[str], training: HowMuch, warnings: list[str], shapes: list[ShapeRow]
    ) -> LaunchReport:
        """The object that `--json` prints for a launch."""
        return {
            "run": self.run.name,
            "run_dir": str(self.run.path),
            "cluster": self.plan.cluster,
            "job_id": self.job_id,
            "dry_run": self.dry_run,
            "command": shlex.join(find_cluster(self.plan.cluster).submit_command(self.run.job_script)),
            "notes": notes,
            "training": training,
            "warnings": warnings,
            "shapes": shapes,
        }


Tell = Callable[[Launched], None]
"""Reports a launch to the caller. A submission is complete when this has returned; it is repeated if it was interrupted
before."""


def plan_launch(composed: Composed, moment: datetime) -> PlannedRun:
    """The planned run; LauncherError for every fault that can be found before anything is written."""
    composed = settle_shape(composed, run_dir(composed, moment))
    one = prepare(composed, moment)
    plan = one.plan
    check_fits(composed.config, plan)
    check_host_memory(composed.config, plan)
    check_packages(composed.config, plan)
    if Path(composed.config.model.name_or_path).is_dir():
        from launcher.launching.model_files import (
            check_model_files,  # imported here: most models are named by their ids
        )

        check_model_files(composed.config)
    return PlannedRun(composed=composed, run=one.run, plan=plan, data=one.data)


def plan_launches(composed: Sequence[Composed], moment: datetime) -> list[PlannedRun]:
    """All jobs of a multirun, each planned and its warnings printed before the first is written."""
    planned = [plan_launch(one, moment) for one in composed]
    told: list[PlannedRun] = []
    for one in planned:
        if not one.composed.config.dry_run:
            make_cluster(one.plan.cluster)  # a refusal comes before the warnings
        told.append(
            dataclasses.replace(one, warnings=tuple(print_warnings(one.composed, one.plan, one.data)))
        )
        check_hub(one.composed.config, one.plan)
        if one.composed.config.hub.push is not None:
            from launcher.launching.push_target import (
                check_repository,  # imported here, as below: most runs push nothing
            )

            check_repository(one.composed.config)
    return told


def launch(planned: PlannedRun, tell: Tell) -> Launched:
    """Writes and starts one planned run and returns the outcome; `tell` is called before a process starts on this machine."""
    composed, run, plan = planned.composed, planned.run, planned.plan
    cluster = None if composed.config.dry_run else make_cluster(plan.cluster)
    if cluster and cluster.queued and (cut := find_cut_short(run, composed)):
        with cut_short(cluster, cut) as job_id:
            if job_id:
                say(f"continuing with {cut.name}, whose submission was interrupted")
                launched = Launched(run=cut, plan=read_run(cut).plan, job_id=job_id)
                tell(launched)
                return launched
    run, plan = write(planned)
    return start(run, plan, cluster, tell)


def write(planned: PlannedRun) -> tuple[RunDir, LaunchPlan]:
    """The run dir with its files, and its plan; another folder is used if a launch in the same second took the planned one."""
    run, plan, data, composed = planned.run, planned.plan, planned.data, planned.composed
    frozen = freeze(composed.config, plan, composed.config_dir)
    plan = with_code(plan, frozen.of(run) if frozen else None)
    while not write_run(run, plan, composed, data, frozen):
        again = prepare(composed, datetime.now())
        run, plan, data = again.run, again.plan, again.data
        plan = with_code(plan, frozen.of(run) if frozen else None)
    return run, plan


def start(run: RunDir, plan: LaunchPlan, cluster: Cluster | None, tell: Tell) -> Launched:
    """As `launch`, for a run whose files are written; without a cluster it is a dry run."""
    if cluster and cluster.queued:
        with submitted(cluster, run) as job_id:
            launched = Launched(run=run, plan=plan, job_id=job_id)
            tell(launched)
        return launched
    launched = Launched(run=run, plan=plan, dry_run=cluster is None)
    tell(launched)
    return dataclasses.replace(launched, process=start_here(run, cluster)) if cluster else launched


def start_here(run: RunDir, cluster: Cluster) -> subprocess.Popen[bytes]:
    """The run's job script as a process of this machine, recorded as the run's job."""
    process = cluster.start(run)
    job = cluster.job(os.environ)
    if job:
        run.note_job(cluster.name, job.id)
    else:
        from launcher.processes import start_ticks  # imported here: a queue knows its jobs by their ids

        run.note_job(cluster.name, str(process.pid), start_ticks(process.pid))
    return process


def restart_here(composed: Composed) -> tuple[RunDir, subprocess.Popen[bytes]] | None:
    """The run that this job started before it was requeued, and its restarted job script; None in any other case."""
    cluster = find_cluster(choose_kind(composed.config.cluster.kind, os.environ))
    job = None if cluster.queued else cluster.job(os.environ)
    if job is None or not job.restart:
        return None
    found = find_submitted(composed.config.runs_dir, composed.config.name, job.id)
    if found is None:
        return None
    say(f"job {job.id} continues {found.path}")
    return found, start_here(found, cluster)


def notes_of(composed: Composed, plan: LaunchPlan) -> list[str]:
    """Sentences that a summary shows beside the plan."""
    config = composed.config
    return [
        *evaluation_note(composed.evaluation_left_out),
        *learning_notes(config, plan),
        *cpu_note(config, plan),
        *package_notes(config, plan),
        *(_push_note(config, plan) if config.hub.push is not None else []),
        *tokens_note(config, plan.facts),
        *shape_note(composed),
    ]


def _push_note(config: Config, plan: LaunchPlan) -> list[str]:
    from launcher.launching.push_target import push_note

    return push_note(config, plan)
