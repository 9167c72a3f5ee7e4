"""A supervisor from the moment at which it has the lease of its run dir until it gives it up, or another one takes it."""

import os
from dataclasses import dataclass
from functools import partial

from launcher import environment
from launcher.clusters.base import Cluster
from launcher.clusters.submission import complete
from launcher.hub import find_wanted
from launcher.launching.changed_data import DataAt, check_data_is_same
from launcher.plugins.decide import Decided, read_run
from launcher.processes import start_ticks
from launcher.supervise.attempt_runner import AttemptRunner
from launcher.supervise.children import StopSignal
from launcher.supervise.fetching import Fetcher
from launcher.supervise.leader_file import Leader, read_leader, this_process, write_leader
from launcher.supervise.lease import Lease
from launcher.supervise.node_pool import NodePool
from launcher.supervise.notify import Notifier
from launcher.supervise.place import Place
from launcher.supervise.steady import SteadyRun
from launcher.supervise.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderParts:
    """What a supervisor has before it starts an attempt."""

    decided: Decided
    place: Place
    pool: NodePool | None
    """None if another program starts the ranks."""
    batch: bool
    """Whether this process is the job's script, or was started by it."""
    before: str
    """The host of the supervisor that this one replaces; empty for none."""

    def as_leader(self, cluster: Cluster, first: str, term: int, *, claimed: bool) -> Leader:
        """This supervisor, for leader.json."""
        assert self.pool is not None
        known = self.pool.nodes.environment(cluster.address(os.environ))
        addresses = known[environment.SUPERVISOR]
        return this_process(cluster, first, term, addresses, claimed=claimed, batch=self.batch)


def prepare(
    run: SteadyRun, stopped: StopSignal, first: str, *, adopts: bool, batch: bool, kept: bool = False
) -> LeaderParts:
    """What this supervisor needs before it starts an attempt.

    `first`: the nonce of the job's first supervisor. `adopts`: whether it takes over the agents of an earlier supervisor. Only
    the process of the job's script (`batch`) can start agents; `kept`: whether these outlive this process.
    """
    earlier = read_leader(run, first)
    decided = read_run(run)
    if not adopts:  # no command has checked the data since the job was queued
        check_data_is_same(run, decided.plan.facts, DataAt.FILES)
    place = Place(run, plan := decided.plan)
    more = {environment.JOB: place.job_id, environment.LEASE: first}
    pool = None
    if plan.rank_starter == "launcher":
        start = partial(place.start_nodes, more=more, outlives=kept) if batch else None
        pool = NodePool(run, plan, stopped, start, adopts=adopts)
    before = earlier.host if earlier and earlier.claimed else ""
    return LeaderParts(decided=decided, place=place, pool=pool, batch=batch, before=before)


def lead(run: SteadyRun, cluster: Cluster, lease: Lease, stopped: StopSignal, prepared: LeaderParts) -> int:
    """The exit code of the job. Fenced once another supervisor has taken the lease."""
    decided, place, pool = prepared.decided, prepared.place, prepared.pool
    plan = decided.plan
    if (
        place.job or not run.job.exists()
    ):  # submitted by hand, or by a launch that was killed before it noted the job
        run.note_job(plan.cluster, place.job_id, None if place.job else start_ticks(os.getpid()))
    if place.job:
        complete(cluster, run, place.job_id)
    run.logs.mkdir(exist_ok=True)
    runner = None
    if pool is not None:
        if cluster.keeps_job_without_batch_host() and place.job and place.job.index is None:
            write_leader(run, prepared.as_leader(cluster, lease.first, lease.term, claimed=True))
        wanted = find_wanted(decided.config, plan.facts.work_dir, plan.facts.all_data)
        runner = AttemptRunner(pool, Fetcher(run, pool.nodes, stopped, wanted), lease)
    notifier = Notifier(run, decided.config.notify)
    evaluations = None
    if decided.config.eval_job.every is not None:
        from launcher.supervise.eval_jobs import EvalJobs  # few runs have evaluations as jobs

        evaluations = EvalJobs(run, decided, lease.may_write)
    return Supervisor(
        run, decided, place, lease, stopped, runner, notifier, prepared.before, evaluations
    ).carry()
