"""Cluster: all that a caller may ask of a place where runs go. A variant is a subclass in a module or package of its own.

Planning asks for options and a header (pure: nothing is looked at), commands submit and ask about jobs, and the supervisor and
its nodes ask about the job that they are in. What a place cannot do keeps the answer of this class.
"""

import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import ClassVar

from launcher.clusters.job import Job, JobRecord, Request
from launcher.errors import ClusterError
from launcher.run import RunDir

GRACE_S = 30.0
"""Seconds between SIGTERM and SIGKILL where a place does not say otherwise."""

Options = Mapping[str, str]
"""Options of a job by their long names, "" for a flag without a value."""


class RunState(Enum):
    """Where a run is, as far as can be told."""

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
    """The place answered that it no longer knows the job, and the run dir does not say how it ended."""


class Refused(ClusterError):
    """The cluster refused a job: nothing was queued."""


class Cluster(ABC):
    """A place where runs go. Every method that asks the place may raise ClusterError."""

    name: ClassVar[str]
    """As cluster.kind names it."""
    title: ClassVar[str]
    """As a person calls it."""
    queued: ClassVar[bool] = True
    """Whether a run is submitted as a job of its own; else it is a child of the command, which follows it to its end."""
    auto_order: ClassVar[int | None] = None
    """When cluster.kind=auto asks whether this place is here, the lowest first; None: it is never asked."""
    one_machine: ClassVar[bool] = False
    """Whether all of a run is on the machine where its command is typed."""
    outlives_run: ClassVar[bool] = False
    """Whether the job is somebody's session, which goes on when the run in it has ended."""
    arrays: ClassVar[bool] = False
    """Whether a sweep can be queued as job arrays."""
    opens_images: ClassVar[bool] = False
    """Whether the step itself opens a container image (cluster.container.runtime=pyxis)."""
    node_index_word: ClassVar[str] = "0"
    """A word of bash that is a node's index in node.sh."""

    def with_timeout(self, timeout_s: float) -> "Cluster":
        """The same place, whose answers are waited for so long."""
        del timeout_s
        return self

    # Planning: pure

    @abstractmethod
    def job_options(self, request: Request) -> dict[str, str]:
        """What the job asks for: what the plan sets and what the site adds; PlanError for what is refused."""

    @abstractmethod
    def header(self, options: Options, folder: str) -> str:
        """The lines of a job script by which the scheduler reads the options and the folder that the script starts in."""

    def step_options(self, request: Request) -> tuple[str, ...]:
        """Words for the command that starts node.sh on every node."""
        del request
        return ()

    def check_nodes(self, nodes: int) -> None:
        """PlanError where no job of this place can have so many nodes."""
        del nodes

    def with_notice(self, options: Options, seconds: int) -> dict[str, str]:
        """The options with a signal USR1 to the job script so long before the time limit, where the site has set none."""
        del seconds
        return dict(options)

    def notice_s(self, options: Options) -> float | None:
        """How long before the time limit the job script gets USR1 by these options; None where it does not."""
        del options
        return None

    def with_requeue(self, options: Options, allowed: bool) -> dict[str, str]:
        """The options with the permission to queue the job again, or without it, where the site has not decided."""
        del allowed
        return dict(options)

    def may_requeue(self, options: Options) -> bool:
        """Whether the job may be queued again by these options."""
        del options
        return self.queued

    def warning(self, options: Options, ranks: int, cuda: bool) -> str | None:
        """What a person should know of the options of a job with so many ranks a node; None for nothing."""
        del options, ranks, cuda
        return None

    def shape(self, options: Options) -> dict[str, str]:
        """The options that jobs which differ only in their names and folders have in common."""
        return dict(options)

    def array_options(self, options: Options, shape: Options, indices: str, folder: str) -> dict[str, str]:
        """Options of a job array over `indices` (0-3,7 or 0-9%2: two at once) in that folder."""
        del options, shape, indices, folder
        raise self._cannot("queue job arrays")

    def by_hand(self, script: str) -> str:
        """What a person types in the run dir to start a job script."""
        return f"`bash {script}`"

    # Commands: the queue

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether cluster.kind=auto may choose this place."""
        del environ
        return False

    def reach(self) -> None:
        """ClusterError where jobs of this place cannot be asked about from this machine."""
        return

    def check_start(self, environ: Mapping[str, str]) -> None:
        """ClusterError where no run can be started from this process."""
        del environ
        self.reach()

    def check_room(self, nodes: int, spares: int, environ: Mapping[str, str]) -> None:
        """PlanError where the job that this process is in has fewer nodes than a run in it needs."""
        del nodes, spares, environ

    @abstractmethod
    def submit_command(self, script: Path) -> list[str]:
        """argv that submits the script; a dry run prints it."""

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
        """The new job's id. Refused with the scheduler's own words where nothing was queued; any other ClusterError may have
        left a job.

        The job begins when job `after` has ended, on none of the hosts `avoid`, as an array over `array`. The command that
        submits inherits the descriptor `keep_open`, which holds a lock for as long as it lives.
        """

    def start(self, run: RunDir) -> "subprocess.Popen[bytes]":
        """The job script as a child in a session of its own, which outlives a closed terminal."""
        run.logs.mkdir(exist_ok=True)
        with (run.logs / "supervisor.log").open("ab") as log:
            return subprocess.Popen(
                ["bash", str(run.job_script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def jobs_of(self, folder: Path) -> list[str] | None:
        """Ids of the queued and running jobs of that run dir, an array's once for each task; None where it cannot be told."""
        del folder
        return None

    @abstractmethod
    def states(self, job_ids: Sequence[str]) -> dict[str, RunState | None]:
        """The state of each job; None where the place did not answer or has no record, which concludes nothing."""

    def state(self, job_id: str) -> RunState | None:
        """`states` of one job."""
        return self.states([job_id])[job_id]

    def reasons(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Why jobs wait, in the scheduler's words, of those where it says so."""
        del job_ids
        return {}

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """Ends the job; nothing happens where it has ended."""

    def signal(self, job_id: str, name: str, *, batch_only: bool = False) -> None:
        """Sends a signal, such as USR1, to all processes of a job, or to its job script alone."""
        del job_id, name, batch_only
        raise self._cannot("send a signal to a job")

    def requeue(self, job_id: str) -> None:
        """Ends the job and queues it again under the same id; it may be the caller's own."""
        del job_id
        raise self._cannot("queue a job again")

    def forbid_requeue(self, job_id: str) -> None:
        """Tells the scheduler not to queue the job again by itself; a scheduler that does not answer is no error."""
        del job_id

    def largest_array(self) -> int:
        """How many indices a job array may have: they stay below this number."""
        return 1 << 30

    # The supervisor and its nodes: the job that they are in

    @abstractmethod
    def job(self, environ: Mapping[str, str]) -> Job | None:
        """The job of this place that a process with that environment is in; None outside of any."""

    def record(self, job_id: str) -> JobRecord | None:
        """What the place says now of a job; None where it does not answer."""
        del job_id
        return None

    def ends(self, job_id: str) -> float | None:
        """When the job's time limit is reached (time.time()); None without a limit, and where the place does not answer."""
        record = self.record(job_id)
        return record.ends if record else None

    def grace_s(self) -> float:
        """Seconds that the place gives between SIGTERM and SIGKILL."""
        return GRACE_S

    def keeps_job_without_head(self, spares: int) -> bool:
        """Whether a job stays when the node that runs its script is lost, so that another node has to queue it again."""
        del spares
        return False

    def hosts(self, nodes: str) -> list[str]:
        """The host names in `JobRecord.nodes`; none where that is not told."""
        return nodes.replace(",", " ").split()

    def step_command(self, options: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """argv that starts node.sh on every node of the job; RunError outside of a job."""
        del options, environ
        return ["bash", "node.sh"]

    def first_host(self, environ: Mapping[str, str]) -> str:
        """The address of the job's first node, where the ranks meet when nobody leads the nodes."""
        return self.address(environ)

    def node_index(self, environ: Mapping[str, str]) -> int:
        """The index of this node in the step that runs node.sh."""
        del environ
        return 0

    def host(self, environ: Mapping[str, str]) -> str:
        """The name of this node, by which the scheduler knows it."""
        del environ
        return socket.gethostname()

    def address(self, environ: Mapping[str, str]) -> str:
        """The address at which other nodes of the job reach this one."""
        return "127.0.0.1" if self.one_machine else self.host(environ)

    def _cannot(self, what: str) -> ClusterError:
        return ClusterError(f"cluster.kind={self.name} cannot {what}; use another cluster")
