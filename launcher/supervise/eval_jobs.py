"""Evaluations of a run's checkpoints on tasks while it trains: a job for each on a cluster with a queue, else a process here.

A thread of the supervisor looks at the committed checkpoints. Whatever happens to an evaluation, the run is not affected. An
evaluation that was begun or is over is not begun again, whichever job of the run looks.
"""

import threading
import time
from collections.abc import Callable

from launcher.checkpoint.folders import FoundCheckpoint, find_all
from launcher.checkpoint.manifest import Manifest
from launcher.checkpoint.tasks import settled_of
from launcher.clusters.base import Cluster, Refused, RunState
from launcher.clusters.registry import find_cluster
from launcher.clusters.submission import submitted
from launcher.config.spelling import limit_s
from launcher.errors import LauncherError
from launcher.output import say
from launcher.plan.eval_job import eval_request
from launcher.plugins.decide import Decided
from launcher.render import render_script
from launcher.run import RunDir, write_text
from launcher.run.evaluations import Settled, evaluation_folder, read_asked, write_asked, write_settled
from launcher.run.events.launching import EvalJobFailed
from launcher.status.state import is_over
from launcher.supervise.eval_process import EvalProcess

_LOOK_S = 2.0
_ASK_S = 30.0
"""Seconds between two queries to the scheduler about the jobs."""


class EvalJobs:
    """The evaluations of one run, as long as this supervisor leads it."""

    def __init__(self, run: RunDir, decided: Decided, may_write: Callable[[], bool]) -> None:
        """`may_write`: whether this supervisor still has the lease of the run."""
        self.run, self.decided, self.may_write = RunDir(run.path), decided, may_write
        self.every = decided.config.eval_job.every
        self.cluster: Cluster = find_cluster(decided.plan.cluster)
        self._here: EvalProcess | None = None
        self._asked_at = 0.0
        self._told: set[str] = set()
        self._over, self._finish = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, name="evaluations", daemon=True)

    def start(self) -> None:
        """Looks for checkpoints from now on."""
        if self.every is not None:
            self._thread.start()

    def close(self, *, finished: bool, stop: Callable[[], bool]) -> None:
        """Ends the watch. `finished`: the last checkpoint is evaluated too. Without a queue this method waits for that
        evaluation until `stop` returns true."""
        if not self._thread.is_alive():
            return
        self._finish = finished
        self._over.set()
        while finished and self._thread.is_alive() and not stop():
            self._thread.join(_LOOK_S)
        self._finish = False
        self._thread.join(_ASK_S)

    def _watch(self) -> None:
        while True:
            over = self._over.wait(_LOOK_S)
            busy = False
            try:
                if self.may_write() and (not over or self._finish):
                    busy = self._look()
            except (OSError, LauncherError) as error:
                self._tell(f"evaluations on tasks: {error}")
            if not over:
                continue
            if not (busy and self._finish):
                break
            time.sleep(_LOOK_S)
        if self._here is not None:
            self._here.end()

    def _look(self) -> bool:
        """Begins and checks evaluations; returns whether one runs on this machine."""
        if self._here is not None:
            self._reap(self._here)
        asks = time.monotonic() > self._asked_at + _ASK_S
        for found in reversed(find_all(self.run.checkpoints, sizes=False)):
            if not isinstance(found, FoundCheckpoint) or self._is_settled(found.manifest):
                continue
            if self.cluster.queued:
                self._queue(found.manifest, asks=asks)
            elif self._here is None:
                self._begin_here(found.manifest)
        if asks:
            self._asked_at = time.monotonic()
        return self._here is not None

    def _is_settled(self, manifest: Manifest) -> bool:
        """Whether nothing is left to do for a checkpoint."""
        due = manifest.step and self.every and not manifest.step % self.every
        return not due or settled_of(self.run, manifest) is not None

    def _queue(self, manifest: Manifest, *, asks: bool) -> None:
        """Queues an evaluation, once; with `asks`, asks the cluster for one that is queued."""
        folder = self._folder(manifest)
        if folder.job.exists() and not folder.intent.exists():
            if asks:
                self._check(manifest, folder)
            return
        if folder.intent.exists() and not asks:
            return  # the cluster did not answer the last time
        self._write(manifest, folder)
        try:
            with submitted(self.cluster, folder) as job_id:
                say(f"job {job_id} evaluates the checkpoint of step {manifest.step} on tasks")
        except Refused as error:
            self._fail(manifest, str(error))

    def _check(self, manifest: Manifest, folder: RunDir) -> None:
        """Notes the end of a job that has left no result."""
        job_id = str(folder.read_json(folder.job)["job_id"])
        state = self.cluster.state(job_id)
        if state is None or not is_over(state) or settled_of(self.run, manifest) is not None:
            return
        how = "is gone" if state is RunState.LOST else f"ended as {state.value}"
        self._fail(manifest, f"job {job_id} {how} without a result; its log is in {folder.logs}")

    def _begin_here(self, manifest: Manifest) -> None:
        folder = self._folder(manifest)
        self._write(manifest, folder)
        self._here = EvalProcess(folder, manifest, self.decided.plan, self.decided.config.eval_job.gpus)
        say(f"the checkpoint of step {manifest.step} is evaluated on tasks {self._here.where}")

    def _reap(self, here: EvalProcess) -> None:
        """Forgets the evaluation here once it has ended, and ends one that takes too long."""
        limit = self.decided.config.eval_job.time
        code = here.ended()
        if code is None and here.seconds() < limit_s(limit):
            return
        here.end()
        self._here = None
        if not self._is_settled(here.manifest):
            why = (
                f"took longer than eval_job.time={limit}" if code is None else f"ended with exit code {code}"
            )
            self._fail(here.manifest, f"its process {why}; its log is {here.log}")

    def _folder(self, manifest: Manifest) -> RunDir:
        """The folder of the evaluation. That of an earlier checkpoint of the step, before a rollback, gets another name."""
        folder = evaluation_folder(self.run, manifest.step)
        if read_asked(folder) not in (None, manifest.time):
            number = len(list(folder.path.parent.glob(f"earlier_{folder.path.name}_*"))) + 1
            folder.path.rename(folder.path.with_name(f"earlier_{folder.path.name}_{number}"))
        return folder

    def _write(self, manifest: Manifest, folder: RunDir) -> None:
        """Writes the job script."""
        config, plan = self.decided.config, self.decided.plan
        options = self.cluster.with_requeue(
            self.cluster.job_options(eval_request(config, plan, str(folder.path))), False
        )
        script = render_script(
            "evaluate.sh.j2",
            plan=plan,
            header=self.cluster.header(options, str(folder.path)),
            env=config.cluster.env,
            words=[str(self.run.path), str(manifest.step)],
        )
        folder.logs.mkdir(parents=True, exist_ok=True)
        write_text(folder.job_script, script)
        write_asked(folder, manifest.time)

    def _fail(self, manifest: Manifest, reason: str) -> None:
        """Notes that an evaluation has no result, so that its checkpoint is not kept for it any longer."""
        write_settled(
            self.run,
            manifest.step,
            Settled(saved=manifest.time, scores={}, higher_is_better={}, failed=reason),
        )
        self.run.note(EvalJobFailed(attempt=self.run.attempts(), step=manifest.step, reason=reason))
        say(f"the evaluation of step {manifest.step} on tasks failed: {reason}; the training goes on")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            say(text)
