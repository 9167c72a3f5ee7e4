"""Cluster: the interface of a place where runs train. A variant is a subclass in a module or package of its own.

What planning asks, such as the options and the header of a job script, is in launcher.clusters.pure. Here commands submit and
ask about jobs, and the supervisor and its nodes ask about the job that they are in. A variant overrides only what it can do.
"""

import socket
import subprocess
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.clusters.job import Job, JobRecord, Start
from launcher.clusters.pure import Options, PureCluster
from launcher.errors import ClusterError
from launcher.run import RunDir

if TYPE_CHECKING:  # a launch does not probe the site
    from launcher.clusters.site_facts import Partition, SiteFact

GRACE_S = 30.0
"""Seconds between SIGTERM and SIGKILL, unless a cluster says otherwise."""


class RunState(Enum):
    """The state of a run, as far as it is known."""

    PLANNED = "planned"
    """Written, never submitted (dry_run=true)."""
    PENDING = "pending"
    """In the queue."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    """Ended early by its sweep."""
    TIMEOUT = "timeout"
    """Ended by the time limit."""
    LOST = "lost"
    """The cluster no longer has the job, and the run dir does not say how the job ended."""


AGAIN = "type the command again: it finds the job, or queues it"
"""The way out after a submission that may have queued the job of a run."""


class Refused(ClusterError):
    """The cluster refused a job: nothing was queued."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
        """Whether the same job may be accepted later, as when the controller cannot be reached or a limit of queued jobs is
        reached."""


class Cluster(PureCluster):
    """A place where runs train. Every method that asks the cluster can raise ClusterError."""

    def with_timeout(self, timeout_s: float) -> "Cluster":
        """The same cluster with another timeout for its answers."""
        del timeout_s
        return self

    # Commands: the queue

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether cluster.kind=auto can choose this cluster."""
        del environ
        return False

    def reach(self) -> None:
        """Raises ClusterError if this machine cannot ask about jobs of this cluster."""
        return

    def check_start(self, environ: Mapping[str, str]) -> None:
        """Raises ClusterError if this process cannot start a run."""
        del environ
        self.reach()

    def check_room(self, nodes: int, spares: int, environ: Mapping[str, str]) -> None:
        """Raises PlanError if the job that this process is in has fewer nodes than a run in it needs."""
        del nodes, spares, environ

    def shell_warnings(self, options: Options, environ: Mapping[str, str]) -> list[str]:
        """Warnings about variables of the caller's environment that a submission leaves out, or that change the job."""
        del options, environ
        return []

    @abstractmethod
    def submit_command(self, script: Path) -> list[str]:
        """The argv that submits the script; a dry run prints it."""

    @abstractmethod
    def submit(
        self,
        script: Path,
        *,
        after: str | None = None,
        avoid: Sequence[str] = (),
        array: str | None = None,
        keep_open: int | None = None,
    ) -> str:
        """The new job's id. Refused with the scheduler's own message if nothing was queued; after any other ClusterError a job
        can be queued.

        The job starts when job `after` has ended, on none of the hosts `avoid`, as an array over `array`. The command that
        submits inherits the file descriptor `keep_open`, which holds a lock while that command lives.
        """

    def start(self, run: RunDir) -> subprocess.Popen[bytes]:
        """The job script as a child process in its own session, which outlives a closed terminal."""
        from launcher.run.script import start_script  # imported here: a queue starts the others

        return start_script(run)

    def jobs_of(self, folder: Path) -> list[str] | None:
        """Ids of the queued and running jobs of that run dir, with one id per task of an array; None if they are unknown."""
        del folder
        return None

    @abstractmethod
    def states(self, job_ids: Sequence[str]) -> dict[str, RunState | None]:
        """The state of each job; None if the cluster did not answer or has no record: then the state is unknown."""

    def state(self, job_id: str) -> RunState | None:
        """The state of one job."""
        return self.states([job_id])[job_id]

    def reasons(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Job id -> why the job waits, in the scheduler's words; without jobs that have no reason."""
        del job_ids
        return {}

    def expected_starts(self, job_ids: Sequence[str]) -> dict[str, float]:
        """Job id -> when the job is expected to start (time.time()); without jobs whose start is not planned."""
        del job_ids
        return {}

    def when_starts(self, jobs: Sequence[Options], folder: str, freed: int = 0) -> list[Start]:
        """For each job with these options, whose script starts in that folder: when it would start if it were submitted now.

        `freed`: nodes of the caller's own job, which ends now; the scheduler still counts them as taken.
        """
        del folder, freed
        return [Start(how=f"{self.title} does not say when a job would start") for _ in jobs]

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """Ends the job; does nothing if it has already ended."""

    def signal(self, job_id: str, name: str, *, batch_only: bool = False) -> None:
        """Sends a signal, such as USR1, to all processes of a job, or only to its job script."""
        del job_id, name, batch_only
        raise self.cannot("send a signal to a job")

    def requeue(self, job_id: str) -> None:
        """Ends the job and queues it again under the same id; it can be the caller's own job."""
        del job_id
        raise self.cannot("queue a job again")

    def requeue_wait_s(self) -> float:
        """Seconds for which a job that is queued again waits before it can start, however many nodes are free."""
        return 0.0

    def forbid_requeue(self, job_id: str) -> None:
        """Tells the scheduler not to queue the job again by itself; a missing answer is not an error."""
        del job_id

    def partitions(self, clusters: str = "") -> "list[Partition]":
        """The partitions or queues of the site, or of these clusters of it, named as in cluster.sbatch.clusters."""
        del clusters
        raise self._not_a_site()

    def probe(self, partition: str | None, clusters: str = "") -> "list[SiteFact]":
        """What this machine can find out about the site, for jobs in that partition, or in the best one for GPUs."""
        del partition, clusters
        raise self._not_a_site()

    def largest_array(self, clusters: str = "") -> int:
        """The exclusive upper bound of the indices of a job array, on these clusters of the site or on that of this machine."""
        del clusters
        return 1 << 30

    # The supervisor and its nodes: the job that they are in

    @abstractmethod
    def job(self, environ: Mapping[str, str]) -> Job | None:
        """The job of this cluster that a process with that environment is in; None outside of a job."""

    def record(self, job_id: str) -> JobRecord | None:
        """The cluster's present record of a job; None if it does not answer."""
        del job_id
        return None

    def ends(self, job_id: str) -> float | None:
        """The time of the job's limit (time.time()); None without a limit, or if the cluster does not answer."""
        record = self.record(job_id)
        return record.ends if record else None

    def grace_s(self, clusters: str = "") -> float:
        """Seconds between SIGTERM and SIGKILL on this cluster, or on these clusters of the site."""
        del clusters
        return GRACE_S

    def keeps_job_without_batch_host(self) -> bool:
        """Whether a job of this cluster continues when the node that runs its script is lost, so that another node has to lead
        it. Then the job script also outlives its supervisor."""
        return False

    def complete(self, job_id: str, code: int) -> None:
        """Ends the job, as its script would by that exit code; cancels it if the cluster allows only that."""
        del code
        self.cancel(job_id)

    def hosts(self, nodes: str) -> list[str]:
        """The host names in `JobRecord.nodes`; empty if they are unknown."""
        return nodes.replace(",", " ").split()

    def step_command(self, options: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """The argv that starts node.sh on every node of the job; RunError outside of a job."""
        del options, environ
        return ["bash", "node.sh"]

    def step_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Variables for that command in addition to `environ`, the variables of the job's script."""
        del environ
        return {}

    def first_host(self, environ: Mapping[str, str]) -> str:
        """The address of the job's first node, where the ranks meet if no supervisor leads the nodes."""
        return self.address(environ)

    def node_index(self, environ: Mapping[str, str]) -> int:
        """The index of this node in the step that runs node.sh."""
        del environ
        return 0

    def host(self, environ: Mapping[str, str]) -> str:
        """The scheduler's name of this node."""
        del environ
        return socket.gethostname()

    def address(self, environ: Mapping[str, str]) -> str:
        """The address at which other nodes of the job reach this one."""
        return "127.0.0.1" if self.one_machine else self.host(environ)

    def _not_a_site(self) -> ClusterError:
        return ClusterError(
            f"no scheduler that can describe its site was found here (cluster.kind={self.name}); type this command on a "
            "login node of the cluster"
        )
