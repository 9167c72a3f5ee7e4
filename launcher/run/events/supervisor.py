"""Events that the supervisor of a job writes: starts and ends of attempts, and its findings about hosts."""

from collections.abc import Sequence
from typing import Any

from launcher.run.events.base import Event, How

_EARLIER_SHUT_DOWN = "left"


class Started(Event):
    """An attempt began: the ranks are about to be started.

    Written by: the supervisor; node.sh if it was started by hand.
    """

    job_id: str | None = None
    """The scheduler's id of the job, or the supervisor's process id; None for node.sh that was started by hand."""
    host: str | None = None
    """The host of the supervisor."""
    by: str | None = None
    """node.sh if it was started by hand; None for a supervisor."""


class Led(Event):
    """Another supervisor of the same job leads the run from now on, because the one before it was lost.

    Written by: the new supervisor.
    """

    host: str
    """The host of the new supervisor."""
    before: str
    """The host of the one that is lost; ? if no attempt had begun."""
    term: int
    """Which supervisor of this job it is; the first one is 1."""


class Insured(Event):
    """A job was queued behind the run's job, which has lost its batch host. It continues the run if that job ends before the
    run is over, and is cancelled otherwise.

    Written by: the supervisor that leads the job without its script.
    """

    job_id: str
    """The job that waits."""
    after: str
    """The run's job."""


class Fetching(Event):
    """A node fetches model and data from their hub before the ranks start.

    Written by: the supervisor, at the start and then every 30 s.
    """

    host: str
    """The node that fetches."""
    gib: float
    """GiB that have arrived so far."""


class Fetched(Event):
    """Model and data are in the cache.

    Written by: the supervisor.
    """

    commit: str | None = None
    """The commit of the model on its hub; None if only data was fetched."""
    gib: float | None = None
    """GiB that were fetched."""
    seconds: float | None = None
    """How long that took."""


class Preflight(Event):
    """A node failed a check before the ranks were started, and gets no ranks.

    Written by: the supervisor, an event per problem.
    """

    host: str
    """The node."""
    problem: str
    """What is wrong with it, in a sentence."""


class Slow(Event):
    """A host computes more slowly than the others, by probes without the time in which they waited for a processor.

    Written by: the supervisor, per host and attempt once when it is found and once more if it stays so.
    """

    host: str
    """The slow host."""
    relative: float
    """Its speed as a share of the others' speed."""
    confirmed: bool = False
    """Whether it has stayed so for some minutes. Only then is the host avoided."""


class ServerReady(Event):
    """A server that generates answers is there; the ranks use it from now on.

    Written by: the supervisor, for each start of a server.
    """

    host: str
    """Its node."""
    url: str
    """Where it answers."""
    seconds: float
    """Seconds from its start until it answered."""


class ServerLost(Event):
    """A server that generates answers has ended, has stopped answering, or is on a node that is lost.

    Written by: the supervisor.
    """

    host: str
    """Its node."""
    reason: str
    """Why, in a sentence."""
    next: str
    """What is done: the host on which it is started again while the ranks wait, or empty if the attempt ends."""


class Told(Event):
    """The supervisor received a signal to end the attempt.

    Written by: the supervisor, for each such signal.
    """

    why: str
    """A value of launcher.run.events.base.StopReason."""
    seconds: float | None = None
    """Seconds that the ranks have to save."""


class Ended(Event):
    """The ranks of an attempt ended before the run was finished.

    Written by: the supervisor, before it decides what to do next.
    """

    how: str
    """A value of launcher.run.events.base.How."""
    exit_code: int | None = None
    """The exit code of the first rank that failed; 128 + N for signal N."""
    reason: str = ""
    """Why, in a sentence."""
    hosts: Sequence[str] = ()
    """The hosts to blame, if they are known."""
    told: str | None = None
    """Why the supervisor had to end, a value of launcher.run.events.base.StopReason."""
    seconds: float | None = None
    """Seconds from the start of the attempt to its end."""
    stop_s: float | None = None
    """Seconds from the end until the last rank was gone."""

    @classmethod
    def renewed(cls, own: dict[str, Any]) -> dict[str, Any]:
        """The fields in this version's words: launchers before 0.2 wrote `left` for a shutdown."""
        return {**own, "how": How.SHUT_DOWN.value} if own.get("how") == _EARLIER_SHUT_DOWN else own


class Finished(Event):
    """The run is finished: it trained all its steps and exported its result.

    Written by: the supervisor; node.sh if it was started by hand.
    """


class Pruned(Event):
    """The run is over because its sweep ended it early.

    Written by: the supervisor.
    """


class Requeued(Event):
    """The run waits in the queue again: this job ends and another one resumes the run.

    Written by: the supervisor; the job script if the batch host was lost.
    """

    reason: str = ""
    """Why, in a sentence."""


class Reshaped(Event):
    """The run was planned again on other nodes and GPUs, which are expected to finish first (resources.auto).

    Written by: the supervisor, when it queues the run again.
    """

    before: str
    """Nodes x GPUs per node until now."""
    after: str
    """Nodes x GPUs per node from now on."""
    reason: str = ""
    """Why, in a sentence."""
    earlier: str | None = None
    """The folder with the files of the previous plan."""


class Stopped(Event):
    """The run is over without a result; a person can resume it.

    Written by: the supervisor; node.sh if it was started by hand.
    """

    exit_code: int | None = None
    """The exit code of the job; docs/reference/exit_codes.md lists them."""
    reason: str = ""
    """Why, in a sentence, with the way out."""


class Notified(Event):
    """A message about the run was sent to an item of notify.

    Written by: the supervisor.
    """

    what: str
    """first checkpoint, failed or finished."""
    target: str
    """The item of notify as it was typed; the address in a variable is not written."""
