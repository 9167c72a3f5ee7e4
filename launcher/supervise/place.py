"""Where the supervisor runs: how the nodes are started, how long the job may last, how it is queued again."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time

from launcher import environment
from launcher.clusters.base import GRACE_S, Cluster, Refused, RunState
from launcher.clusters.job import JobRecord
from launcher.clusters.registry import find_cluster
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError
from launcher.output import say
from launcher.plan import LaunchPlan
from launcher.plan.queue import RESERVE_S
from launcher.processes import death_with_parent, start_ticks
from launcher.run import RunDir
from launcher.run.insurance import is_insured
from launcher.supervise.addresses import address_of
from launcher.supervise.avoid import Avoided
from launcher.supervise.children import StopSignal
from launcher.supervise.growing_file import start_with_file
from launcher.supervise.insurance import set_aside_odd
from launcher.supervise.nodes import Nodes
from launcher.supervise.orphaned import is_own
from launcher.supervise.other_shape import OtherShape, other_shape, put_back, take
from launcher.supervise.policy import StopReason
from launcher.timeouts import END_JOB_S

_ANSWER_S = 3.0
"""Seconds to wait for the cluster to say why it sent a signal."""
_LOOK_S = 1.0
_END_TRIES_S = 600.0
"""Seconds for which the command that ends the job is repeated while the cluster does not answer."""
_LEAST_LEFT_S = 120.0
"""The ranks start again in the same job after a signal if more seconds than these remain until the warning of the time
limit."""
_REQUEUE_WAIT_S = 10.0
"""If a requeued job must wait longer than this before it can start, a new job is queued instead. Slurm's default wait is 120
s."""
_LIMITS_S = 10.0
"""Seconds to wait for the job's limits."""


class Place:
    """The job that this process leads, or this machine."""

    def __init__(self, run: RunDir, plan: LaunchPlan) -> None:
        self.run, self.plan = run, plan
        self.cluster = find_cluster(plan.cluster)
        self.job = self.cluster.job(os.environ)
        cluster = self.cluster.with_timeout(_LIMITS_S)
        self.ends = cluster.ends(self.job.id) if self.job else None
        """Time of the job's end (time.time()); None for no limit."""
        self.grace_s = cluster.grace_s() if self.job else GRACE_S
        """Seconds from SIGTERM to SIGKILL."""
        self._asked = False
        self._other: OtherShape | None = None
        """The shape for which the files of the run are written, if it is another than this job's."""

    @property
    def job_id(self) -> str:
        """The id of the job; without a job, of this process."""
        return self.job.id if self.job else str(os.getpid())

    @property
    def can_requeue(self) -> bool:
        """Whether the run can be queued again: it has a job of its own, and it saves checkpoints."""
        return self.cluster.queued and self.job is not None and self.plan.save is not None

    def start_nodes(
        self, nodes: Nodes | None, more: dict[str, str], *, outlives: bool = False
    ) -> subprocess.Popen[bytes]:
        """The process that runs node.sh on every node of the allocation. `outlives`: whether it continues without this
        process, so that the agents do: if srun is killed, Slurm ends its step."""
        own = nodes.environment(self.cluster.address(os.environ)) if nodes else {}
        words = self.cluster.step_command(self.plan.step_options, os.environ)
        env = {**_user(), **os.environ, **self.cluster.step_environment(os.environ), **own, **more}
        if outlives:
            step, step.stderr = start_with_file(words, str(self.run.path), env)
            return step
        return subprocess.Popen(
            words,
            cwd=self.run.path,
            env=env,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE if nodes else None,
            start_new_session=True,
            preexec_fn=death_with_parent(),
        )

    def address(self) -> str:
        """The address of the first node, where the ranks meet if no supervisor leads the nodes."""
        rendezvous = self.plan.rendezvous
        if rendezvous.interface:
            return address_of(rendezvous.interface)
        return f"{self.cluster.first_host(os.environ)}{rendezvous.host_suffix}"

    def explain_signal(self, number: int) -> tuple[StopReason, float]:
        """Why a signal came, and how many seconds remain."""
        if number == signal.SIGUSR2:
            return StopReason.PRUNED, 0.0
        seconds = max(self.grace_s - RESERVE_S, 1.0)
        if number not in (signal.SIGTERM, signal.SIGUSR1):
            return StopReason.CANCELLED, seconds
        record = self.cluster.with_timeout(_ANSWER_S).record(self.job.id) if self.job else None
        ends = (record.ends if record else None) or self.ends  # queried again: the limit can have changed
        if number == signal.SIGUSR1:
            left = ends - time.time() if ends else 120.0
            return StopReason.TIME_LIMIT, max(left - RESERVE_S, RESERVE_S)
        if ends and time.time() > ends - 30:
            return StopReason.TIME_LIMIT, seconds
        return why_ended(record, self.job.restart) if self.job else StopReason.CANCELLED, seconds

    def keeps_job(self) -> bool:
        """Whether the cluster says that the job goes on: it runs, is not being pre-empted, and has time left for more than
        another start. False where the site has its own signal before the time limit, because any signal can be that one."""
        notice_s = self.cluster.notice_s(self.plan.job_options)
        if self.job is None or notice_s is None:
            return False
        record = self.cluster.with_timeout(_ANSWER_S).record(self.job.id)
        if record is None or not is_own(record, self.job.restart) or record.preempted:
            return False
        return record.ends is None or record.ends - time.time() > notice_s + _LEAST_LEFT_S

    def requeue(self, avoid: Avoided) -> str:
        """Queues the run again and says how: the same job if its nodes are healthy, else a new job that excludes the bad ones.
        A requeued job cannot exclude a host, and waits until the cluster notices that the host is dead. If the cluster has too
        few nodes without all bad ones, the new job excludes only the lost ones. If the site forbids requeueing, or a requeued
        job waits for long before it can start, a new job is queued after this one. So is a job of another shape, if that is
        expected to finish first. The job that waits as insurance of this one is that new job, if it fits."""
        assert self.job
        set_aside_odd(self.run)
        cluster, me = self.cluster.with_timeout(_ANSWER_S * 3), self.job.id
        if other := self._other_shape(cluster, len(avoid.hosts)):
            try:
                with submitted(cluster, self.run, avoid=avoid.hosts, me=me) as new:
                    return f"job {new} continues: {other.choice.why}"
            except Refused as error:
                say(f"{error}; the run keeps its shape")
                put_back(self.run, other, self.plan, str(error))
                self._other = None
        if self.job.index is not None:
            # a new job would not belong to the array: a sweep's worker would lose its trial
            avoid = Avoided()
        if avoid.hosts:
            cluster.forbid_requeue(me)
            for without in avoid.choices():
                try:
                    with submitted(cluster, self.run, avoid=without.hosts, me=me) as new:
                        return f"job {new} continues, without {without}"
                except Refused as error:  # the cluster has too few other nodes
                    say(f"{error}; the next job may get the excluded hosts again")
        elif cluster.may_requeue(self.plan.job_options):
            if self.job.index is None and (
                is_insured(self.run) or cluster.requeue_wait_s() > _REQUEUE_WAIT_S
            ):
                try:
                    told = self._follow(cluster)
                    cluster.forbid_requeue(me)
                    return told
                except Refused as error:
                    say(f"{error}; job {me} is queued again, and no new job follows it")
            try:
                cluster.requeue(me)
                return f"job {me} is queued again"
            except ClusterError as error:
                say(f"{error}; a new job is queued after this one")
        return self._follow(cluster)

    def _follow(self, cluster: Cluster) -> str:
        """Queues a new job of the run, which starts when this one has ended, and says so."""
        assert self.job
        with submitted(cluster, self.run, after=self.job.id, me=self.job.id) as new:
            return f"job {new} continues after this one"

    def warn_of_end(self, stopped: StopSignal) -> None:
        """Sends this process SIGUSR1 before the time limit, because the cluster sends it only to the job's script. If the
        script has ended, it sends SIGTERM: the cluster may have sent that before this process was started."""
        job, cluster = self.job, self.cluster.with_timeout(_LIMITS_S)
        notice_s = self.cluster.notice_s(self.plan.job_options) if self.plan.save is not None else None
        if job is None:
            return

        def due() -> tuple[signal.Signals, float] | None:
            record = cluster.record(job.id)
            if record is not None and record.script_ended:
                return signal.SIGTERM, time.time()
            if record is None or record.ends is None or notice_s is None:
                return None
            return signal.SIGUSR1, record.ends - notice_s

        stopped.send_when(due)

    def end_job(self, code: int) -> None:
        """Ends the job with that exit code, from outside of its script. The script does it where it still runs; a job that is
        queued again has ended already."""
        assert self.job
        cluster, begun = self.cluster.with_timeout(_ANSWER_S), time.monotonic()
        while time.monotonic() < begun + _END_TRIES_S:
            record = cluster.record(self.job.id)
            if record and not is_own(record, self.job.restart):
                return
            if record and time.monotonic() > begun + END_JOB_S:
                with contextlib.suppress(ClusterError):
                    cluster.complete(self.job.id, code)
                    say(f"job {self.job.id} is ended with exit code {code}")
            time.sleep(_LOOK_S)
        say(
            f"job {self.job.id} could not be ended within {_END_TRIES_S:.0f} s and still holds its nodes; type "
            f"python -m launcher cancel {self.run.name}"
        )

    def _other_shape(self, cluster: Cluster, bad: int) -> OtherShape | None:
        """Another shape for the run, whose files are then written; None if the run keeps its shape, as a task of an array does.

        `bad`: nodes of the job that the next one must not get. The queue is asked once: if the scheduler does not answer the
        submission that follows, that alone is tried again.
        """
        assert self.job
        if self._asked or self.job.index is not None:
            return self._other
        self._asked = True
        found = other_shape(self.run, self.plan, cluster, self.plan.topology.nodes + self.plan.spares - bad)
        if found:
            cluster.forbid_requeue(self.job.id)  # its script has the present shape
            take(self.run, found)
        self._other = found
        return found


def _user() -> dict[str, str]:
    """The user's name as a variable, which ch-run needs, and which a job with --export=NONE lacks."""
    try:
        return {environment.USER: pwd.getpwuid(os.getuid()).pw_name}
    except KeyError:  # a user that the node does not know by name
        return {}


def why_ended(record: JobRecord | None, restart: int) -> StopReason:
    """Why the cluster sent SIGTERM, by its record of the job; `restart` is the restart count of this process.

    The count of a job that is taken off its nodes to be queued again increases at once; that of a cancelled job does not.
    """
    if record is None:
        return StopReason.ASKED
    if record.restarts > restart:
        return StopReason.PREEMPTED
    if record.running:
        return StopReason.ASKED
    return StopReason.SCRIPT_ENDED if record.script_ended else StopReason.CANCELLED


def who(cluster: Cluster) -> dict[str, str | int | None]:
    """This supervisor, as the holder in its lease."""
    job = cluster.job(os.environ)
    return {
        "cluster": cluster.name,
        "job_id": job.id if job else None,
        "restart": job.restart if job else 0,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": start_ticks(os.getpid()),
    }


def lives_here(holder: dict[str, object]) -> bool:
    """Whether the process of this machine that took the lease is still alive."""
    return start_ticks(int(str(holder["pid"]))) == holder["started"]


def holder_lives(cluster: Cluster, holder: dict[str, object]) -> bool | None:
    """Whether the holder of a lease lives; None if its cluster cannot tell. `cluster` is the run's present one, which can
    differ from the holder's."""
    cluster, job_id = find_cluster(str(holder.get("cluster", cluster.name))), holder["job_id"]
    own = cluster.job(os.environ)
    if job_id is None or (own is not None and job_id == own.id):
        return lives_here(holder) if holder["host"] == socket.gethostname() else None
    state = cluster.state(str(job_id))
    if state is None:
        return None
    return state is RunState.RUNNING
