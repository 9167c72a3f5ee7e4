"""The attempts of one job: what the supervisor does from the first start of the ranks to the end of the job."""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from launcher import environment
from launcher.errors import ClusterError, Exit
from launcher.output import say
from launcher.plugins.decide import Decided
from launcher.ports import choose_port
from launcher.run import RunDir
from launcher.run.events import Event
from launcher.run.events import supervisor as noted
from launcher.run.events.checkpoints import Saved
from launcher.run.history import History, HistoryReader
from launcher.run.totals import Faults, faults
from launcher.supervise import policy
from launcher.supervise.attempt_runner import AttemptRunner
from launcher.supervise.avoid import Avoided, hosts_to_avoid
from launcher.supervise.children import StopSignal, wait_for_all
from launcher.supervise.hosts import note_faults, recent_suspects
from launcher.supervise.lease import Lease
from launcher.supervise.notify import FAILED, FINISHED, Notifier
from launcher.supervise.place import Place
from launcher.supervise.policy import Action, AttemptContext, Do, EndedAttempt, How, StopReason
from launcher.supervise.pushing import push
from launcher.supervise.steady import Fenced, SteadyRun, steadily
from launcher.timeouts import MINORITY_S

if TYPE_CHECKING:  # few runs have evaluations as jobs
    from launcher.supervise.eval_jobs import EvalJobs

_PORT_TRIES = 5
_REQUEUE_S = 600.0
_AGAIN_S = 5.0
_POLL_S = 0.05


class Supervisor:
    """The attempts of one job."""

    def __init__(
        self,
        run: RunDir,
        decided: Decided,
        place: Place,
        lease: Lease,
        stopped: StopSignal,
        runner: AttemptRunner | None,
        notifier: Notifier,
        before: str = "",
        evaluations: "EvalJobs | None" = None,
    ) -> None:
        """`runner`: None if another program starts the ranks. `before`: the host of the supervisor that this one replaces."""
        self.run, self.place, self.lease, self.stopped = run, place, lease, stopped
        self.config, self.plan = decided.config, decided.plan
        self.runner, self.notifier, self.before = runner, notifier, before
        self.evaluations = evaluations
        self.history = HistoryReader(run, metrics=False)

    def carry(self) -> int:
        """The exit code of the job. Fenced once another supervisor has the lease; then the agents are left to that one."""
        self.notifier.start()
        if self.evaluations is not None:
            self.evaluations.start()
        finished = False
        try:
            if self.lease.term > 1 and (code := self._succeed()) is not None:
                return code
            while True:
                number = len(self._history().all(noted.Started)) + 1
                self.run.note(
                    noted.Started(attempt=number, job_id=self.place.job_id, host=socket.gethostname())
                )
                begun = time.monotonic()
                ended = self._attempt(number)
                if ended.how is How.FENCED:
                    raise Fenced(ended.reason)
                if self.runner and self.runner.pool.nodes.is_minority():
                    self._wait_for_another(ended)
                self._note(number, ended, time.monotonic() - begun)
                action = policy.decide(ended, self._faults(), self._place(ended))
                if action.do is Do.RESTART:
                    self.stopped.clear()
                    continue
                code = self._finish(number, ended, action)
                finished = ended.how is How.FINISHED
                return code
        except Fenced:
            self.lease.lost = True
            raise
        finally:
            self.notifier.close()
            if self.runner is not None:
                end = self.runner.pool.abandon if self.lease.lost else self.runner.pool.close
                end()
            if self.evaluations is not None:  # after the agents have ended: they would hear nothing meanwhile
                self.evaluations.close(finished=finished, stop=lambda: self.stopped.signal is not None)

    def _succeed(self) -> int | None:
        """Notes that this supervisor has taken over, and the end of the attempt that it cut. None if it can go on with the
        nodes that are left, else the exit code of the job."""
        assert self.runner
        pool, here = self.runner.pool, self.place.cluster.host(os.environ)
        goes_on = pool.wait_for_agents()
        history = self._history()
        if (code := final_code(history.events)) is not None:
            return code  # it was lost after the run was over
        starts = history.all(noted.Started)
        number = starts[-1].attempt if starts else 0
        host = self.before or (starts[-1].host if starts else None) or "?"
        reason = f"the supervisor on {host} is lost; the one on {here} leads the job from now on"
        say(reason)
        living = [node.host for node in pool.nodes.there()]
        ended = EndedAttempt(
            how=How.LOST, reason=reason, hosts=() if host in ("?", here, *living) else (host,)
        )
        self.run.note(noted.Led(attempt=number, host=here, before=host, term=self.lease.term))
        if number and number not in [event.attempt for event in history.all(noted.Ended)]:
            self._note(number, ended, None)
        action = policy.decide(ended, self._faults(), self._place(ended))
        return None if goes_on or action.do is Do.RESTART else self._finish(number, ended, action)

    def _wait_for_another(self, ended: EndedAttempt) -> None:
        """Returns if no other supervisor takes over, though this one has lost more than half of its agents. Fenced if one does.

        Without the heartbeat the others may choose one, if they live and only this host is cut off.
        """
        assert self.runner
        say(
            f"{ended.reason}; fewer than half of the agents are left, which may have chosen another supervisor"
        )
        self.lease.resting = True
        deadline, nodes = time.monotonic() + MINORITY_S, self.runner.pool.nodes
        while time.monotonic() < deadline and nodes.is_minority() and not self.stopped.signal:
            nodes.poll(_POLL_S)
            if self.lease.lost:
                raise Fenced(f"another supervisor has taken the lease of {self.run.path}; this one ends")
        self.lease.resting = False

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
            rendezvous = {
                environment.MASTER_ADDR: self.place.address(),
                environment.MASTER_PORT: str(choose_port(self.plan.rendezvous.ports)),
            }
            own = {environment.JOB: self.place.job_id, environment.LEASE: self.lease.nonce}
            child = self.place.start_nodes(None, {**own, **rendezvous, environment.ATTEMPT: str(number)})
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

    def _place(self, ended: EndedAttempt) -> policy.Capacity:
        needed = self.plan.nodes
        return policy.Capacity(
            can_requeue=self.place.can_requeue,
            healthy_nodes=self.runner.pool.usable() if self.runner else needed,
            needed_nodes=needed,
            keeps_job=ended.told is StopReason.ASKED and self.place.keeps_job(),
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

    def _note(self, number: int, ended: EndedAttempt, seconds: float | None) -> None:
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
                seconds=None if seconds is None else round(seconds, 2),
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

    def _to_avoid(self, ended: EndedAttempt) -> Avoided:
        lost = ended.hosts if ended.how is How.LOST else ()
        nodes = self.runner.pool.nodes.by_index.values() if self.runner else ()
        own, unfit = [node.host for node in nodes], [node.host for node in nodes if node.bad]
        return hosts_to_avoid(lost, own, unfit, self._faults(), self._known())

    def _saved(self) -> int | None:
        """The newest committed step; None if there is none."""
        saved = self._history().newest(Saved)
        return saved.step if saved else None


def final_code(events: Sequence[Event]) -> int | None:
    """The exit code of a job whose run is over or queued again by these events; None if its newest attempt is not over."""
    for event in reversed(events):
        match event:
            case noted.Started():
                return None
            case noted.Finished():
                return Exit.OK
            case noted.Requeued():
                return Exit.REQUEUED
            case noted.Pruned():
                return Exit.PRUNED
            case noted.Stopped():
                return Exit.FAILED if event.exit_code is None else event.exit_code
            case _:
                continue
    return None
