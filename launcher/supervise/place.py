"""Where the supervisor runs: how the nodes are started, how long the job may last, how it is queued again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime

from launcher.clusters.slurm import Refused, Slurm, first_host, own_job_id, time_limits
from launcher.clusters.submission import submitted
from launcher.errors import ClusterError, RunError
from launcher.plan import LaunchPlan
from launcher.plan.queue import parse_time
from launcher.plan.shutdown import RESERVE_S
from launcher.processes import die_with_parent, start_ticks
from launcher.run import RunDir
from launcher.supervise.nodes import Nodes, own_address
from launcher.supervise.policy import StopReason

_LOCAL_GRACE_S = 30.0
_ANSWER_S = 3.0
"""Seconds to wait for Slurm to say why it sent a signal."""


class Place:
    """This machine, or a Slurm job."""

    def __init__(self, run: RunDir, plan: LaunchPlan) -> None:
        self.run, self.plan = run, plan
        self.in_job = plan.cluster != "local"
        self.job_id = own_job_id(os.environ) if self.in_job else None
        self.restart = int(os.environ.get("SLURM_RESTART_COUNT", "0") or 0)
        self.ends, self.kill_wait_s = time_limits(self.job_id) if self.job_id else (None, _LOCAL_GRACE_S)
        """Time of the job's end (time.time()), None for no limit; seconds from SIGTERM to SIGKILL."""

    @property
    def can_requeue(self) -> bool:
        """Whether the run can be queued again: from a batch job, and where something is saved."""
        batch = self.plan.cluster == "slurm" and os.environ.get("SLURM_JOB_ID") is not None
        return batch and self.plan.save is not None

    def start_nodes(self, nodes: Nodes | None, more: dict[str, str]) -> subprocess.Popen[bytes]:
        """node.sh on every node of the allocation."""
        own = nodes.environment(own_address(self.plan.cluster)) if nodes else {}
        return subprocess.Popen(
            self._command(),
            cwd=self.run.path,
            env={**os.environ, **own, **more},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def address(self) -> str:
        """The first node's, where the ranks meet when nobody leads the nodes."""
        return first_host(self._nodelist()) if self.in_job else "127.0.0.1"

    def explain_signal(self, number: int) -> tuple[StopReason, float]:
        """Why a signal came, and how many seconds there are."""
        if number == signal.SIGUSR2:
            return StopReason.PRUNED, 0.0
        seconds = max(self.kill_wait_s - RESERVE_S, 1.0)
        if number not in (signal.SIGTERM, signal.SIGUSR1):
            return StopReason.CANCELLED, seconds
        facts = Slurm(_ANSWER_S).facts(self.job_id) if self.job_id else {}
        ends = end_of(facts) or self.ends  # anew: a limit may have been changed
        if number == signal.SIGUSR1:
            left = ends - time.time() if ends else 120.0
            return StopReason.TIME_LIMIT, max(left - RESERVE_S, RESERVE_S)
        if ends and time.time() > ends - 30:
            return StopReason.TIME_LIMIT, seconds
        return why_ended(facts, self.restart) if self.job_id else StopReason.CANCELLED, seconds

    def requeue(self, exclude: tuple[str, ...]) -> str:
        """Queues the run again and says how. The same job where nothing is wrong with its nodes, else a new one without them:
        a requeued job cannot be told to avoid a host, and waits for Slurm to notice that the host is dead. Where requeueing
        is forbidden, a new job behind this one."""
        assert self.job_id
        slurm = Slurm(_ANSWER_S * 3)
        if os.environ.get("SLURM_ARRAY_TASK_ID"):
            exclude = ()  # a new job would be none of the array's: a sweep's worker would lose its trial
        if exclude:
            slurm.forbid_requeue(self.job_id)
            try:
                without = f"without {', '.join(exclude)}"
                return self._submit(slurm, f"--exclude={','.join(exclude)}", without)
            except Refused as error:  # the place has not enough others
                print(f"launcher: {error}; the next job may get them again", file=sys.stderr, flush=True)
        elif "no-requeue" not in self.plan.sbatch:
            try:
                slurm.requeue(self.job_id)
                return f"job {self.job_id} is queued again"
            except ClusterError as error:
                print(f"launcher: {error}; a new job is queued behind this one", file=sys.stderr, flush=True)
        return self._submit(slurm, f"--dependency=afterany:{self.job_id}", "behind this one")

    def _submit(self, slurm: Slurm, option: str, how: str) -> str:
        assert self.job_id
        with submitted(slurm, self.run, option, me=self.job_id) as new:
            return f"job {new} goes on, {how}"

    def _command(self) -> list[str]:
        if not self.in_job:
            return ["bash", "node.sh"]
        self._nodelist()
        srun = ["srun", *self.plan.srun]
        # Since 22.05, srun takes no --cpus-per-task from the job by itself: the ranks would share one core.
        if os.environ.get("SLURM_CPUS_PER_TASK"):
            srun.append(f"--cpus-per-task={os.environ['SLURM_CPUS_PER_TASK']}")
        return [*srun, "bash", "node.sh"]

    @staticmethod
    def _nodelist() -> str:
        nodelist = os.environ.get("SLURM_JOB_NODELIST")
        if not nodelist:
            raise RunError(
                "this run was planned for Slurm and SLURM_JOB_NODELIST is not set; use `sbatch job.sbatch`, or `bash "
                "job.sbatch` inside an allocation"
            )
        return nodelist


def end_of(facts: Mapping[str, str]) -> float | None:
    """When the job's time is up (time.time()), by `scontrol show job`; None where that is not told or there is no limit.

    The end of a job that ends already is now, so its limit tells it then.
    """
    try:
        if facts["JobState"] == "RUNNING":
            return datetime.fromisoformat(facts["EndTime"]).timestamp()
        return datetime.fromisoformat(facts["StartTime"]).timestamp() + parse_time(facts["TimeLimit"])
    except (KeyError, ValueError):
        return None


def why_ended(facts: Mapping[str, str], restart: int) -> StopReason:
    """Why Slurm sent SIGTERM, by `scontrol show job`; `restart` is this start's SLURM_RESTART_COUNT.

    A job that Slurm takes off its nodes to queue it again counts one restart more at once; a cancelled one does not. Both are
    COMPLETING while they end (seen with 22.05).
    """
    if int(facts.get("Restarts", "0")) > restart:
        return StopReason.PREEMPTED
    return StopReason.ASKED if facts.get("JobState", "RUNNING") == "RUNNING" else StopReason.CANCELLED


def who() -> dict[str, str | int | None]:
    """This supervisor, as its lease names it."""
    return {
        "job_id": os.environ.get("SLURM_JOB_ID"),
        "restart": int(os.environ.get("SLURM_RESTART_COUNT", "0") or 0),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": start_ticks(os.getpid()),
    }


def lives_here(holder: dict[str, object]) -> bool:
    """Whether a process of this machine that held a lease still is the same one."""
    return start_ticks(int(str(holder["pid"]))) == holder["started"]
