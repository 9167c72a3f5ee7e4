"""python -m launcher.supervise RUN_DIR: carry a planned run to its end, in one or more attempts.

The last line of job.sbatch becomes this process, the supervisor, once per job. It takes the run's lease, starts an agent on
every node (node.sh, by Cluster.step_command), and leads the attempts. After an attempt, it does what
launcher.supervise.policy decides: finish, start the ranks again, queue the job again, or stop and say why.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from launcher import environment
from launcher.clusters.registry import find_cluster
from launcher.config import read_config
from launcher.errors import DISK_FULL, ClusterError, Exit, LauncherError
from launcher.hub import HubInputs, find_wanted
from launcher.launching.changed_data import check_data_is_same
from launcher.output import say
from launcher.plugins.decide import Decided, read_run
from launcher.ports import choose_port
from launcher.processes import start_in_utf8, start_ticks
from launcher.run import RunDir
from launcher.run.events import supervisor as noted
from launcher.run.events.checkpoints import Saved
from launcher.run.history import History, HistoryReader
from launcher.run.totals import Faults, faults
from launcher.supervise import policy
from launcher.supervise.attempt_runner import AttemptRunner
from launcher.supervise.children import StopSignal, wait_for_all
from launcher.supervise.fetching import Fetcher
from launcher.supervise.hosts import note_faults, recent_suspects
from launcher.supervise.lease import Lease
from launcher.supervise.node_pool import NodePool
from launcher.supervise.notify import FAILED, FINISHED, Notifier
from launcher.supervise.place import Place, holder_lives, who
from launcher.supervise.policy import Action, AttemptContext, Do, EndedAttempt, How, StopReason
from launcher.supervise.pushing import push
from launcher.supervise.steady import SteadyRun, steadily

_PORT_TRIES = 5
_REQUEUE_S = 600.0
_AGAIN_S = 5.0


def main(argv: list[str]) -> int:
    """The exit code of the job."""
    run = SteadyRun(Path(argv[0] if argv else ".").resolve())
    try:
        code = supervise(run)
        run.settle()
        return code
    except LauncherError as error:
        say(str(error))
        if run.path.is_dir() and error.exit_code != Exit.ALREADY_RUNNING:
            attempt = run.attempts() + 1
            run.note(noted.Stopped(attempt=attempt, exit_code=int(error.exit_code), reason=str(error)))
            run.settle()
            _tell_of_refusal(run, error)
        return error.exit_code
    except OSError as error:
        if error.errno in DISK_FULL:  # then the reason cannot be written either
            return Exit.SAVE_FAILED
        raise


def supervise(run: RunDir) -> int:
    """Every attempt of this job, under the run's lease."""
    stopped = StopSignal()
    cluster = find_cluster(str(run.read_json(run.plan)["cluster"]))
    lease = Lease(run, who(cluster))
    lease.take(lambda holder: holder_lives(cluster, holder))
    lease.watch()
    try:
        decided = read_run(run)
        plan, facts = decided.plan, decided.plan.facts
        wanted = find_wanted(decided.config, facts.work_dir, facts.all_data)
        # a job that is queued again, and no command has looked at the data since
        check_data_is_same(run, facts, here_alone=True)
        place = Place(run, plan)
        if (
            place.job or not run.job.exists()
        ):  # submitted by hand, or by a launch that was killed before it noted the job
            run.note_job(plan.cluster, place.job_id, None if place.job else start_ticks(os.getpid()))
        run.logs.mkdir(exist_ok=True)
        notifier = Notifier(run, decided.config.notify)
        return Supervisor(run, decided, place, lease, stopped, wanted, notifier).carry()
    finally:
        lease.release()


class Supervisor:
    """The attempts of one job."""

    def __init__(
        self,
        run: RunDir,
        decided: Decided,
        place: Place,
        lease: Lease,
        stopped: StopSignal,
        wanted: HubInputs | None,
        notifier: Notifier,
    ) -> None:
        self.run, self.place, self.lease, self.stopped = run, place, lease, stopped
        self.config, self.plan = decided.config, (plan := decided.plan)
        more = {environment.JOB: place.job_id, environment.LEASE: lease.nonce}
        self.runner: AttemptRunner | None = None
        if plan.rank_starter == "launcher":
            pool = NodePool(run, plan, stopped, lambda nodes: place.start_nodes(nodes, more))
            self.runner = AttemptRunner(pool, Fetcher(run, pool.nodes, stopped, wanted), lease)
        self.more = more
        self.notifier = notifier
        self.history = HistoryReader(run, metrics=False)

    def carry(self) -> int:
        """The exit code of the job."""
        self.notifier.start()
        try:
            while True:
                number = len(self._history().all(noted.Started)) + 1
                self.run.note(
                    noted.Started(attempt=number, job_id=self.place.job_id, host=socket.gethostname())
                )
                begun = time.monotonic()
                ended = self._attempt(number)
                if ended.how is How.FENCED:
                    say(ended.reason)
                    return Exit.ALREADY_RUNNING
                self._note(number, ended, time.monotonic() - begun)
                action = policy.decide(ended, self._faults(), self._place())
                if action.do is Do.RESTART:
                    continue
                return self._finish(number, ended, action)
        finally:
            self.notifier.close()
            if self.runner is not None:
                self.runner.pool.close()

    def _attempt(self, number: int) -> EndedAttempt:
        if self.runner is None:
            return self._follow_step(number)
        blamed = {**policy.blamed(self._faults()), **self._known()}
        folder = f"{self.place.job_id}_{number}"
        return self.runner.attempt(
            AttemptContext(
                number=number, folder=folder, blamed=tuple(blamed), explain_signal=self.place.explain_signal
            )
        )

    def _follow_step(self, number: int) -> EndedAttempt:
        """An attempt whose ranks another program starts (rank_starter=accelerate): only its exit code is known."""
        code: int = Exit.PORT_TAKEN
        for _ in range(_PORT_TRIES):
            meeting = {
                environment.MASTER_ADDR: self.place.address(),
                environment.MASTER_PORT: str(choose_port(self.plan.meeting.ports)),
            }
            child = self.place.start_nodes(None, {**self.more, **meeting, environment.ATTEMPT: str(number)})
            code = wait_for_all([child], self.stopped)
            if code != Exit.PORT_TAKEN:
                break
        if self.stopped.signal:
            cause, _ = self.place.explain_signal(self.stopped.signal)
            return EndedAttempt(how=How.CUT, code=code, told=cause, reason=cause.value)
        if code:
            reason = self.run.crash(number) or f"the ranks ended with exit code {code}"
            foreign = code in (
                Exit.REFUSED,
                Exit.USAGE,
            )  # the step's command and accelerate use these codes for any failure
            return EndedAttempt(how=How.CRASHED, code=Exit.FAILED if foreign else code, reason=reason)
        return EndedAttempt(how=How.FINISHED)

    def _place(self) -> policy.Capacity:
        needed = self.plan.nodes
        return policy.Capacity(
            can_requeue=self.place.can_requeue,
            healthy_nodes=self.runner.pool.usable() if self.runner else needed,
            needed_nodes=needed,
        )

    def _history(self) -> History:
        """The run's history so far."""
        if isinstance(self.run, SteadyRun):
            self.run.settle()
        return steadily(self.history.read)

    def _faults(self) -> Faults:
        """The faults of the run so far, this job's and earlier ones'."""
        return faults(self._history())

    def _known(self) -> Mapping[str, int]:
        """Suspects by the records of this user's other runs; empty on one machine, which has no other host."""
        return {} if self.place.cluster.one_machine else recent_suspects()

    def _note(self, number: int, ended: EndedAttempt, seconds: float) -> None:
        if ended.how is How.FINISHED:
            return
        if not self.place.cluster.one_machine and ended.how in (How.LOST, How.HUNG):
            note_faults(ended.hosts, ended.how.value, self.run.name)
        self.run.note(
            noted.Ended(
                attempt=number,
                how=ended.how.value,
                exit_code=ended.code,
                reason=ended.reason,
                hosts=list(ended.hosts),
                told=ended.told.value,
                seconds=round(seconds, 2),
                stop_s=round(ended.stop_s, 3),
            )
        )
        say(f"attempt {number} {ended.how.value}: {ended.reason}")

    def _finish(self, number: int, ended: EndedAttempt, action: Action) -> int:
        """The exit code of the job; adds its last event."""
        if ended.how is How.FINISHED:
            self.run.note(noted.Finished(attempt=number))
            self.notifier.close()
            self.notifier.tell(FINISHED, f"The run has finished, in attempt {number}: {self.run.path}")
            self._push(number)
        elif action.do is Do.REQUEUE:
            self.run.note(noted.Requeued(attempt=number, reason=action.reason))
            self.lease.release()  # before the next job can start and before this one is ended
            return self._requeue(number, ended, action)
        elif ended.told is StopReason.PREEMPTED:
            self.run.note(noted.Requeued(attempt=number, reason=action.reason))
        elif ended.told is StopReason.PRUNED and action.code == Exit.PRUNED:
            self.run.note(noted.Pruned(attempt=number))
        else:
            saved = f"; saved at step {self._saved()}" if ended.how is How.SHUT_DOWN else ""
            reason = f"{action.reason}{saved}"
            self.run.note(noted.Stopped(attempt=number, exit_code=int(action.code), reason=reason))
            self._tell_of_failure(ended, reason)
        return int(action.code)

    def _push(self, number: int) -> None:
        """Pushes the result, if that was requested."""
        if repository := self.config.hub.push:
            push(self.run, repository, self.config.cluster.env, self.stopped, number)

    def _tell_of_failure(self, ended: EndedAttempt, reason: str) -> None:
        """Sends the message why the run has stopped, unless a person has stopped it."""
        self.notifier.close()
        if ended.told is not StopReason.CANCELLED:
            self.notifier.tell(FAILED, f"The run has stopped: {reason}\n{self.run.path}")

    def _requeue(self, number: int, ended: EndedAttempt, action: Action) -> int:
        """The exit code of the job, once the run is queued again. Retries while the scheduler does not answer."""
        deadline = time.monotonic() + _REQUEUE_S
        while True:
            try:
                answer = self.place.requeue(self._to_avoid(ended))
            except ClusterError as error:
                if time.monotonic() < deadline:
                    time.sleep(_AGAIN_S)
                    continue
                reason = f"{action.reason}; it could not be queued again ({error}); python -m launcher resume {self.run.name}"
                self.run.note(noted.Stopped(attempt=number, exit_code=int(Exit.FAILED), reason=reason))
                self._tell_of_failure(ended, reason)
                return Exit.FAILED
            say(str(answer))
            return int(action.code)

    def _to_avoid(self, ended: EndedAttempt) -> tuple[str, ...]:
        """The hosts of this job that the next one should avoid."""
        lost = ended.hosts if ended.how is How.LOST else ()
        suspects = {*policy.suspects(self._faults()), *self._known()}
        own = self.runner.pool.hosts() if self.runner else ()
        return tuple(dict.fromkeys([*lost, *(host for host in own if host in suspects)]))

    def _saved(self) -> int | None:
        """The newest committed step; None if there is none."""
        saved = self._history().newest(Saved)
        return saved.step if saved else None


def _tell_of_refusal(run: RunDir, error: LauncherError) -> None:
    """Sends the message about a run that could not begin, if its configuration can be read."""
    with contextlib.suppress(LauncherError):
        items = read_config(str(run.config)).notify
        Notifier(run, items).tell(FAILED, f"The run has stopped: {error}\n{run.path}")


if __name__ == "__main__":
    start_in_utf8()
    sys.exit(main(sys.argv[1:]))
