"""The supervisors of one job: the first one, which its script starts, and those that take over when one is lost."""

import os
import socket
import time

from launcher import environment
from launcher.clusters.base import Cluster
from launcher.clusters.registry import find_cluster
from launcher.errors import Exit
from launcher.output import say
from launcher.run import RunDir
from launcher.run.nonce import newest_term
from launcher.supervise.children import StopSignal
from launcher.supervise.insurance import Insurer, end_unneeded, why_unneeded
from launcher.supervise.lead import lead, prepare
from launcher.supervise.leader_file import read_leader, write_leader
from launcher.supervise.lease import Lease, newest_heartbeat, read_holder
from launcher.supervise.place import holder_lives, lives_here, who
from launcher.supervise.steady import Fenced, SteadyRun
from launcher.supervise.succession import Signs
from launcher.supervise.supervisor import final_code
from launcher.timeouts import STAND_BY_S

_LOOK_S = 0.5


def supervise(run: SteadyRun, *, kept: bool) -> int:
    """The exit code of the job. `kept`: whether its script starts this process again if a signal ends it; then it stands by
    while another supervisor of the job leads."""
    stopped = StopSignal()
    cluster = find_cluster(str(run.read_json(run.plan)["cluster"]))
    me = _own_job(cluster)
    if me is not None and (why := why_unneeded(run, cluster, me)):
        say(why)
        return Exit.OK
    while True:
        lease = Lease(run, who(cluster))
        first = _earlier(run, lease) if kept and _can_succeed(cluster) else None
        if first is None:
            lease.take(lambda holder: holder_lives(cluster, holder))
        elif (term := _stand_by(run, cluster, first)) is None:
            code = final_code(run.read_events())
            return Exit.FAILED if code is None else code
        elif not lease.succeed(first, term):
            continue
        lease.watch()
        run.guards[:] = [lease.may_write]
        try:
            can_succeed = kept and _can_succeed(cluster)
            prepared = prepare(
                run, stopped, lease.first, adopts=first is not None, batch=True, kept=can_succeed
            )
            code = lead(run, cluster, lease, stopped, prepared)
            if me is not None:
                end_unneeded(run, cluster, me)
            return code
        except Fenced as fenced:
            if not kept:
                raise
            say(str(fenced))
        finally:
            lease.release()


def take_over(run: SteadyRun, term: int, heartbeat: int | None) -> int:
    """The exit code of the job if this process leads it, which an agent has started to be the supervisor of that term; FAILED
    if it does not. `heartbeat`: the newest heartbeat of the one before.

    It asks for the agents first. One that is cut off itself does not get enough of them, and disturbs nobody.
    """
    stopped, first = StopSignal(), os.environ[environment.LEASE]
    cluster = find_cluster(str(run.read_json(run.plan)["cluster"]))
    lease = Lease(run, who(cluster))
    prepared = prepare(run, stopped, first, adopts=True, batch=False)
    pool = prepared.pool
    assert pool is not None
    write_leader(run, prepared.as_leader(cluster, first, term, claimed=False))
    if not pool.adopts_quorum() or newest_heartbeat(run) != heartbeat or not lease.succeed(first, term):
        pool.abandon()
        say(f"this process does not become supervisor number {term} of this job")
        return Exit.FAILED
    lease.watch()
    run.guards[:] = [lease.may_write]
    prepared.place.warn_of_end(stopped)
    insurer = Insurer(run, cluster, prepared.place.job_id, lease.may_write)
    if prepared.decided.config.cluster.insurance:
        insurer.start(saves=prepared.place.can_requeue)
    try:
        code = lead(run, cluster, lease, stopped, prepared)
        run.settle()
        insurer.close()
        end_unneeded(run, cluster, prepared.place.job_id)
    finally:
        lease.release()
    prepared.place.end_job(code)
    return code


def _can_succeed(cluster: Cluster) -> bool:
    """Whether a supervisor can take over within a job."""
    return cluster.keeps_job_without_batch_host() and _own_job(cluster) is not None


def _own_job(cluster: Cluster) -> str | None:
    """The id of the job that this process is in; None for none, and for a task of an array, which belongs to its sweep's
    worker."""
    job = cluster.job(os.environ)
    return job.id if job is not None and job.index is None else None


def _earlier(run: RunDir, lease: Lease) -> str | None:
    """The nonce of the first supervisor of this start of the job; None if this is the first one."""
    holder = read_holder(run)
    if holder is None:
        return None
    same = all(holder[key] == lease.mine[key] for key in ("job_id", "restart"))
    return str(holder["nonce"]) if same else None


def _stand_by(run: RunDir, cluster: Cluster, first: str) -> int | None:
    """The term in which this supervisor must lead, since no other one does; None once the job's run is over."""
    term, host = newest_term(run, first), cluster.host(os.environ)
    signs = Signs(heard=time.monotonic())
    # the lease is read once in each round: a leader that ends can give it up at any moment
    while (holder := read_holder(run)) is not None and holder["nonce"] == first:
        term, leader = newest_term(run, first, term), read_leader(run, first)
        if leader is not None and leader.claimed and leader.term == term:
            gone = leader.ended_here(host)
        else:  # it ended before it could write leader.json
            gone = term == 1 and holder["host"] == socket.gethostname() and not lives_here(holder)
        signs.look(time.monotonic(), newest_heartbeat(run))
        if gone or signs.silent(time.monotonic(), live_s=STAND_BY_S):
            return term + 1
        time.sleep(_LOOK_S)
    return None
