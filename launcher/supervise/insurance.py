"""The insurance of a headless job (launcher.clusters.insurance), as supervisors see it.

A job that has lost its batch host goes on without its script, but Slurm ends it if the old batch host comes back at the wrong
moment, and its last supervisor can be lost too. Therefore the supervisor that has taken over queues a job behind it, in a
thread, because sbatch can hang. When the run is over, that job is cancelled. When the job ends before
that, it starts as any job of the run does, unless it finds that nobody needs it.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from launcher.clusters.base import Cluster, Refused, RunState
from launcher.clusters.insurance import end_insurance, find_waiting, queue_insurance, take_insurance
from launcher.clusters.intent import known_jobs
from launcher.errors import ClusterError, RunError
from launcher.output import say
from launcher.run import RunDir
from launcher.run.events.supervisor import Insured, Led, Started
from launcher.run.history import HistoryReader
from launcher.run.insurance import Insurance, InsuranceState, is_same_job, read_insurance, write_insurance
from launcher.run.totals import Standing, standing
from launcher.supervise.steady import SteadyRun, steadily

_CALM_S = 5.0
_FIRST_S, _MOST_S = 15.0, 600.0
"""Seconds from a failed submission to the next one: at first, and at most."""
_JOIN_S = 35.0
"""More than the timeout of a submission."""
_END_S = 120.0
"""Seconds for which the end of an insurance is tried while the cluster does not answer."""
_AGAIN_S = 3.0
_TRIES, _PAUSE_S = 3, 0.5
_GOES_ON = (Standing.SUBMITTED, Standing.RUNNING, Standing.REQUEUED)


class Insurer:
    """The thread that queues the insurance of the job which this supervisor leads without its script."""

    def __init__(
        self,
        run: RunDir,
        cluster: Cluster,
        me: str,
        may_write: Callable[[], bool],
        calm_s: float = _CALM_S,
    ) -> None:
        """`me`: the job. `may_write`: whether this supervisor still has the lease. `calm_s`: seconds from one look to the next
        whether the ranks were started again: before that, the supervisor can still decide to queue the run again."""
        self.run, self.cluster, self.me, self.may_write = RunDir(run.path), cluster, me, may_write
        self._calm_s = calm_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._queue, name="insurance", daemon=True)

    def start(self, *, saves: bool) -> None:
        """Begins, and returns at once. `saves`: whether the run saves checkpoints from which another job can continue it."""
        if saves:
            self._thread.start()
        else:
            say(f"job {self.me} has no insurance (cluster.insurance): the run saves no checkpoints")

    @property
    def lives(self) -> bool:
        """Whether it still has something to do."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Submits nothing from now on; waits for a submission that runs, but not longer than its timeout."""
        self._over.set()
        if self.lives:
            self._thread.join(_JOIN_S)

    def _queue(self) -> None:
        wait_s, told = _FIRST_S, set[str]()
        while not self._over.wait(self._calm_s) and not self._trains():
            if not self.may_write():
                return
        while not self._over.is_set() and self.may_write():
            try:
                if not self._script_lives():
                    self._queue_once()
                return
            except Refused as error:
                _tell(f"job {self.me} has no insurance: {error}; the run goes on without", told)
                if not error.transient:
                    return
            except (ClusterError, OSError) as error:
                _tell(f"job {self.me} has no insurance yet: {error}", told)
            except RunError as error:
                _tell(f"job {self.me} has no insurance: {error}", told)
                return
            self._over.wait(wait_s)
            wait_s = min(2 * wait_s, _MOST_S)

    def _trains(self) -> bool:
        """Whether the supervisor has started the ranks since it leads, and has not ended the job."""
        with contextlib.suppress(OSError, RunError):
            led, started, history = -1, -1, HistoryReader(self.run, metrics=False).read()
            for at, event in enumerate(history.events):
                led, started = (
                    at if isinstance(event, Led) else led,
                    at if isinstance(event, Started) else started,
                )
            return started > led and standing(history) is Standing.RUNNING
        return False

    def _script_lives(self) -> bool:
        """Whether this host runs the job script: then only its supervisor was lost."""
        record = self.cluster.record(self.me)
        return record is not None and record.batch_host == self.cluster.host(os.environ)

    def _queue_once(self) -> None:
        before = read_insurance(self.run)
        found = queue_insurance(self.cluster, self.run, self.me)
        assert found.job_id
        if before and is_same_job(before.waiting, found.job_id):
            return  # an earlier supervisor of the job has queued and told it
        if self.may_write():
            self.run.note(Insured(attempt=self.run.attempts(), job_id=found.job_id, after=self.me))
        say(
            f"job {found.job_id} waits as insurance: it continues the run if job {self.me} ends before it is over"
        )


def end_unneeded(run: SteadyRun, cluster: Cluster, me: str) -> None:
    """Ends the insurance of the run if job `me`, which ends now, leaves nothing to do for it. Returns after some time if the
    cluster does not answer: then it ends by itself when it starts."""
    if not (os.path.lexists(run.insurance) or os.path.lexists(run.insurance_intent)):
        return
    run.settle()
    plain, found, deadline, told = RunDir(run.path), None, time.monotonic() + _END_S, set[str]()
    while True:
        try:
            found = found or find_waiting(cluster, plain, me)
            if found is not None and not _is_needed(plain, found, me):
                end_insurance(cluster, plain, found)
                say(f"job {found.job_id}, the insurance of the run, is cancelled")
            return
        except RunError as error:
            say(str(error))
            return
        except (ClusterError, OSError) as error:
            _tell(str(error), told)
            if time.monotonic() > deadline:
                return
        time.sleep(_AGAIN_S)


def why_unneeded(run: RunDir, cluster: Cluster, me: str) -> str | None:
    """Why job `me`, which starts now, has nothing to do, in a sentence: it is an insurance, and its run is over, was cancelled,
    or goes on in another job. None for every other job; an insurance that is needed is the run's own job from now on."""
    run = RunDir(run.path)
    try:
        found = _read_again(run)
    except RunError as error:
        say(f"{error}; this job goes on as any other")
        return None
    if found is None or not _is_mine(run, found, me):
        return None
    found = replace(found, job_id=me)
    why = _why_unneeded(run, cluster, found)
    if why is None:
        take_insurance(run, found)
        say(f"job {me} was the insurance of job {found.after}, which has ended, and continues the run")
    else:
        write_insurance(run, found.with_state(InsuranceState.OVER))
        why = f"job {me} was the insurance of job {found.after}, and {why}; it ends without training"
    run.insurance_intent.unlink(missing_ok=True)
    return why


def set_aside_odd(run: RunDir) -> None:
    """Renames an insurance.json that cannot be read, and says so: a run is queued again all the same."""
    try:
        _read_again(run)
    except RunError as error:
        aside = run.insurance.with_name(f".odd.{run.insurance.name}")
        with contextlib.suppress(OSError):
            run.insurance.rename(aside)
            say(f"{error}; it is renamed to {aside.name}")


def _read_again(run: RunDir) -> Insurance | None:
    """The same as read_insurance. A file that cannot be read is tried again: a file system can fail for a moment."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(RunError):
            return read_insurance(run)
        time.sleep(_PAUSE_S)
    return read_insurance(run)


def _is_mine(run: RunDir, found: Insurance, me: str) -> bool:
    """Whether job `me` is the insurance, and the run has not taken it already. If its submission was interrupted before its id
    was known, it is the job that the run does not know."""
    if found.state is InsuranceState.TAKEN:
        return False
    if found.job_id is not None:
        return is_same_job(found.job_id, me)
    return run.insurance_intent.exists() and me not in known_jobs(run) and not is_same_job(_own_job(run), me)


def _why_unneeded(run: RunDir, cluster: Cluster, mine: Insurance) -> str | None:
    if mine.state is InsuranceState.OVER:
        return "the run does not need it any more"
    if is_same_job(own := _own_job(run), mine.job_id):
        return None
    stands = _standing(run)
    if stands not in _GOES_ON:
        return f"the run is {stands.value}: python -m launcher resume {run.name} continues one that has not finished"
    if not is_same_job(own, mine.after):
        return f"the run goes on as job {own}"
    if stands is Standing.RUNNING and cluster.state(mine.after) is RunState.CANCELLED:
        return f"that job was cancelled: python -m launcher resume {run.name} continues the run"
    return None


def _is_needed(run: RunDir, found: Insurance, me: str) -> bool:
    """Whether something of the run is left to do for its insurance."""
    own = _own_job(run)
    return _standing(run) in _GOES_ON and (is_same_job(own, me) or is_same_job(own, found.job_id))


def _standing(run: RunDir) -> Standing:
    return standing(steadily(HistoryReader(run, metrics=False).read))


def _own_job(run: RunDir) -> str | None:
    """The job of the run by job.json."""
    return str(run.read_json(run.job)["job_id"]) if run.job.exists() else None


def _tell(text: str, told: set[str]) -> None:
    """Says a sentence once."""
    if text not in told:
        told.add(text)
        say(text)
