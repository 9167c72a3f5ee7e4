"""Jobs in the cluster's queue or running: their state, their events and GPU-hours, and how one is stopped by request."""

import sqlite3
import time
from collections.abc import Sequence

from launcher.api.data_dir import DataDir
from launcher.api.finish import Finisher
from launcher.api.job_rows import add_event, end_job
from launcher.api.progress import MetricEvents
from launcher.api.running import lives_here
from launcher.api.steps import Steps
from launcher.api.store import Row, Store
from launcher.api.tenants import Quota, Tenant, has_used_up
from launcher.clusters.base import RunState
from launcher.errors import ClusterError, LauncherError, RunError
from launcher.launching.ending import cancel
from launcher.output import say
from launcher.run import RunDir, now
from launcher.run.history import HistoryReader
from launcher.run.totals import gpu_s
from launcher.status.run_status import Status
from launcher.status.state import is_over, read_statuses, split_readable

_LOST_S = 60.0
"""Seconds for which a job must stay lost before it counts as failed: a file system shows some files late."""
_CANCEL_AGAIN_S = 120.0
"""Seconds for which a run may save before it is told again to end."""
_FAILED_AGAIN_S = 15.0
"""Seconds until a run is told again to end after the cluster has not taken that."""


class Watch:
    """Looks at runs and brings the database up to date."""

    def __init__(self, store: Store, data_dir: DataDir, steps: Steps) -> None:
        self._store, self._data_dir, self._steps = store, data_dir, steps
        self._finisher = Finisher(store, data_dir)
        self._metric_events: dict[str, MetricEvents] = {}
        self._readers: dict[str, HistoryReader] = {}
        self._lost: dict[str, float] = {}
        self._cancel_at: dict[str, float] = {}
        """Job -> time.monotonic() from which on it may be told again to end."""

    def look(self, rows: Sequence[Row]) -> None:
        """One look at these jobs; the cluster is asked once about all."""
        by_path = {self._steps.run_of(row).path: row for row in rows}
        runs, faults = split_readable([RunDir(path) for path in by_path])
        for fault in faults:
            say(f"a job is not looked at: {fault}")
        readers = [
            self._readers.setdefault(by_path[run.path]["id"], HistoryReader(run, whole=False)) for run in runs
        ]
        for run, reader, status in zip(runs, readers, read_statuses(runs, readers), strict=True):
            row = by_path[run.path]
            try:
                self._update(row, run, reader, status)
            except (
                LauncherError,
                OSError,
                sqlite3.Error,
            ) as error:  # the other jobs are looked at all the same
                # what was read may not have been stored: the next look reads all again, and no event is noted twice
                self._metric_events.pop(row["id"], None)
                say(f"{row['id']}: its state is not stored now, and it is looked at again: {error}")

    def _update(self, row: Row, run: RunDir, reader: HistoryReader, status: Status) -> None:
        """Brings one job up to date."""
        self._note(row, run, reader)
        if is_over(status.state):
            if status.state is not RunState.LOST or self._stays_lost(row, run):
                self._end(row, run, status)
            return
        self._lost.pop(row["id"], None)
        if row["wish"] != "run" or row["stage"] == "stopping":
            self._stop(row, run)
        elif status.state is RunState.RUNNING:
            self._set_running(row)

    def _note(self, row: Row, run: RunDir, reader: HistoryReader) -> None:
        """Stores what the run has added to its metrics, and what it has used."""
        new = self._metric_events.setdefault(row["id"], MetricEvents(run)).read()
        used = gpu_s(run, reader.read(), now())
        with self._store.change() as db:
            for metric in new:
                add_event(db, row["id"], metric.source, metric.message, data=metric.data)
            db.execute("UPDATE jobs SET gpu_s = ? WHERE id = ?", (used, row["id"]))
            limit = db.execute(
                "SELECT max_gpu_hours FROM tenants WHERE name = ?", (row["tenant"],)
            ).fetchone()[0]
            tenant = Tenant(name=row["tenant"], quota=Quota(gpu_hours=limit))
            if row["wish"] == "run" and has_used_up(db, tenant):
                db.execute("UPDATE jobs SET wish = 'quota' WHERE id = ? AND wish = 'run'", (row["id"],))
                add_event(
                    db,
                    row["id"],
                    "quota",
                    "The quota of GPU-hours is used up; the job is being stopped",
                    "warn",
                )

    def _set_running(self, row: Row) -> None:
        if row["status"] != "queued":
            return
        with self._store.change() as db:
            done = db.execute(
                "UPDATE jobs SET status = 'running' WHERE id = ? AND status = 'queued' AND wish = 'run'",
                (row["id"],),
            ).rowcount
            if done:
                add_event(db, row["id"], f"running:{row['pauses']}", "Fine-tuning job started")

    def _stop(self, row: Row, run: RunDir) -> None:
        """Tells the run's job to end; tells it again while it does not end."""
        if time.monotonic() < self._cancel_at.get(row["id"], 0.0):
            return
        with self._store.change() as db:
            db.execute("UPDATE jobs SET stage = 'stopping' WHERE id = ? AND stage = 'watch'", (row["id"],))
        try:
            cancel(run)
            again_s = _CANCEL_AGAIN_S
        except (ClusterError, RunError) as error:
            again_s = _FAILED_AGAIN_S
            say(f"{row['id']}: it cannot be ended now, and this is tried again in {again_s:g} s: {error}")
        self._cancel_at[row["id"]] = time.monotonic() + again_s

    def _stays_lost(self, row: Row, run: RunDir) -> bool:
        since = self._lost.setdefault(row["id"], time.monotonic())
        return time.monotonic() - since > _LOST_S and not lives_here(run)

    def _end(self, row: Row, run: RunDir, status: Status) -> None:
        """Notes the end of the run: of the job, or of the part before a pause."""
        for known in (self._metric_events, self._readers, self._lost, self._cancel_at):
            known.pop(row["id"], None)
        if row["wish"] == "cancel":
            self._close(row, "cancelled", "The job was cancelled")
        elif status.state is RunState.FINISHED:
            self._finisher.succeed(row, run)
        elif row["wish"] == "quota":
            error = {
                "code": "insufficient_quota",
                "message": "The quota of GPU-hours is used up",
                "param": None,
            }
            self._close(row, "failed", error["message"] or "", error)
        elif row["stage"] == "stopping":
            with self._store.change() as db:
                db.execute(
                    "UPDATE jobs SET stage = 'stopped' WHERE id = ? AND stage = 'stopping' AND wish != 'cancel'",
                    (row["id"],),
                )
                if row["wish"] == "pause":
                    add_event(db, row["id"], f"paused:{row['pauses']}", "The job is paused")
        elif status.state is RunState.CANCELLED:
            self._close(row, "cancelled", "The job was cancelled by the operator")
        else:
            why = status.error or f"the run is {status.state.value}"
            message = f"The job failed: {self._data_dir.hide(why)}"
            self._close(row, "failed", message, {"code": "server_error", "message": message, "param": None})

    def _close(self, row: Row, status: str, message: str, error: dict[str, str | None] | None = None) -> None:
        with self._store.change() as db:
            end_job(db, row, status, message, error)
        self._finisher.clean(row)
