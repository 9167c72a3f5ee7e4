"""The steps of a job, each of which can be interrupted at any point and repeated.

check: the data check. plan: the run dir is written. start: its job is submitted, once. watch: it is queued or runs.
stopping: it was told to end. stopped: it can go on. over: nothing follows. The stage in the database is changed after the
effect of a step: a repeated `plan` deletes what it has written, and a repeated `start` finds its job
(launcher.clusters.submission).
"""

import json
from dataclasses import asdict
from pathlib import Path

from launcher.api.calls import Refusal, call
from launcher.api.checking import check_file
from launcher.api.data_dir import DataDir, remove
from launcher.api.finish import Finisher
from launcher.api.job_file import JobFile, decide, write_job_file
from launcher.api.job_rows import TRAINING_DATA, VALIDATION_DATA, add_event, end_job
from launcher.api.offers import Offers
from launcher.api.running import Here, lives_here
from launcher.api.store import Row, Store
from launcher.clusters.base import Refused, RunState
from launcher.clusters.registry import make_cluster
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError
from launcher.managed.rows import LEAST
from launcher.run import RunDir
from launcher.run.events.launching import Submitted
from launcher.status.state import is_over, read_status


class Steps:
    """Takes one step of a job. Every method can be called again with the same row."""

    def __init__(self, store: Store, data_dir: DataDir, offers: Offers) -> None:
        self._store, self._data_dir, self._offers = store, data_dir, offers
        self.here = Here()
        """Jobs that run on this machine."""

    def check(self, row: Row) -> None:
        """Checks the job's files, and decides on what is `auto`."""
        folder, files = self._data_dir.job(row["id"]), [("training", TRAINING_DATA, LEAST)]
        if row["validation_file"]:
            files.append(("validation", VALIDATION_DATA, 1))
        rows = 0
        for which, name, least in files:
            param, digest = f"{which}_file", row[f"{which}_sha256"]
            checked = check_file(self._store, folder / name, digest, row["method"], least=least)
            rows = rows or checked.rows
            if checked.fault:
                message = f"The job failed due to an invalid {which} file: {row[param]}: {checked.fault}"
                self.fail(row, f"invalid_{param}", message, param)
                return
        decided = asdict(decide(json.loads(row["hyperparameters"]), rows))
        shown = {name: value for name, value in decided.items() if value is not None}
        with self._store.change() as db:
            done = db.execute(
                "UPDATE jobs SET stage = 'plan', status = CASE wish WHEN 'run' THEN 'queued' ELSE status END, "
                "hyperparameters = ?, rows = ? WHERE id = ? AND stage = 'check'",
                (json.dumps(shown), rows, row["id"]),
            ).rowcount
            if done:
                add_event(db, row["id"], "queued", "Files validated, moving job to queued state")

    def plan(self, row: Row) -> None:
        """Writes the run dir of the job."""
        offer = self._offers.models.get(row["model"], {}).get(row["method"])
        if offer is None:
            self.fail(row, "model_not_available", f"The model {row['model']} is no longer offered", "model")
            return
        folder, given = self._data_dir.job(row["id"]), json.loads(row["hyperparameters"])
        remove(
            self._data_dir.runs_of(row["id"])
        )  # of an interrupted call: nothing was submitted in this stage
        job = JobFile(
            name=row["id"],
            runs_dir=self._data_dir.runs,
            cache_dir=self._data_dir.cache,
            settings=offer.settings,
            learning_rate=offer.learning_rate,
            ranks=offer.ranks,
            training=folder / TRAINING_DATA,
            validation=folder / VALIDATION_DATA if row["validation_file"] else None,
            seed=row["seed"],
            rows=row["rows"],
            decided=decide(given, row["rows"]),
        )
        write_job_file(folder / "job.yaml", job)
        words = ["--config", str(folder / "job.yaml"), "dry_run=true"]
        if self._offers.config_dir:
            words = ["--config-dir", str(self._offers.config_dir), *words]
        try:
            report = call(["launch", *words], self._data_dir.work)
        except Refusal as error:
            is_data = error.kind == "DataError"
            code, param = ("invalid_training_file", "training_file") if is_data else ("server_error", None)
            self.fail(row, code, f"The job was refused: {self.hide(error, row['id'])}", param)
            return
        self._to_start(row, RunDir(Path(report["run_dir"])), "plan")

    def go_on(self, row: Row) -> None:
        """Plans the run of a paused job again in its own folder. ClusterError while the cluster does not say that its last part
        is over."""
        run = self.run_of(row)
        state = read_status(run).state
        if state is RunState.FINISHED:  # a file system has shown its end late
            with self._store.change() as db:
                db.execute("UPDATE jobs SET stage = 'watch' WHERE id = ? AND stage = 'stopped'", (row["id"],))
            return
        if state is not RunState.PLANNED and not is_over(state):
            raise ClusterError(f"the part before the pause is {state.value}")
        try:
            call(["resume", str(run.path), "dry_run=true"], self._data_dir.work)
        except Refusal as error:
            self.fail(row, "server_error", f"The job cannot go on: {self.hide(error, row['id'])}")
            return
        self._to_start(row, run, "stopped")

    def start(self, row: Row) -> None:
        """Submits the run's job, or starts it on this machine, unless an interrupted call has done so, or the job was cancelled
        before."""
        run = self.run_of(row)
        if row["wish"] == "cancel" and not self._may_be_submitted(run, row):
            with self._store.change() as db:
                end_job(db, row, "cancelled", "The job was cancelled")
            Finisher(self._store, self._data_dir).clean(row)
            return
        cluster = make_cluster(str(run.read_json(run.plan)["cluster"]))
        if not self._is_submitted(run, row):
            try:
                if cluster.queued:
                    with submitted(cluster, run):
                        pass
                elif not self.here.start(run, cluster):
                    return  # its supervisor lives and will record itself
            except Refused as error:
                if error.transient:
                    raise
                self.fail(row, "server_error", f"The cluster refused the job: {self.hide(error, row['id'])}")
                return
        with self._store.change() as db:
            db.execute("UPDATE jobs SET stage = 'watch' WHERE id = ? AND stage = 'start'", (row["id"],))

    def fail(self, row: Row, code: str, message: str, param: str | None = None) -> None:
        """Ends the job with an error; a job that was cancelled meanwhile stays cancelled."""
        error = {"code": code, "message": message, "param": param}
        with self._store.change() as db:
            (wish,) = db.execute("SELECT wish FROM jobs WHERE id = ?", (row["id"],)).fetchone()
            if wish == "cancel":
                end_job(db, row, "cancelled", "The job was cancelled")
            else:
                end_job(db, row, "failed", message, error)
        Finisher(self._store, self._data_dir).clean(row)

    def run_of(self, row: Row) -> RunDir:
        """The run of a job that has one."""
        return RunDir(self._data_dir.runs_of(row["id"]) / row["run"])

    def _to_start(self, row: Row, run: RunDir, stage: str) -> None:
        """Notes the planned run; it is dropped if the job was cancelled meanwhile, and planned again if it was paused."""
        with self._store.change() as db:
            done = db.execute(
                "UPDATE jobs SET stage = 'start', run = ?, submitted = ? WHERE id = ? AND stage = ? AND wish = 'run'",
                (run.path.name, len(run.read_events(Submitted)), row["id"], stage),
            ).rowcount
        if not done and stage == "plan":
            remove(self._data_dir.runs_of(row["id"]))

    def _may_be_submitted(self, run: RunDir, row: Row) -> bool:
        """Whether an interrupted call has submitted or started the run, or may have done so."""
        return run.intent.exists() or self._is_submitted(run, row) or lives_here(run)

    def _is_submitted(self, run: RunDir, row: Row) -> bool:
        return not run.intent.exists() and len(run.read_events(Submitted)) > row["submitted"]

    def hide(self, error: Exception, job_id: str) -> str:
        """The message of an error for clients: without the paths of this server."""
        folder = self._data_dir.job(job_id)
        said = str(error).replace(str(folder / TRAINING_DATA), "the training file")
        said = said.replace(str(folder / VALIDATION_DATA), "the validation file")
        return self._data_dir.hide(said)
