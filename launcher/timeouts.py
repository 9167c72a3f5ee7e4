"""The timeouts of supervisor, agents and ranks, in seconds unless a docstring says otherwise.

They are in one file because they depend on each other; tests/unit/test_timeouts.py checks the relations. A timeout that
concerns only one file, such as the wait for the answer of a scheduler's program, is in that file.
"""

from collections.abc import Mapping

# Supervisor and agents: who is alive?

PING_S = 1.0
"""Interval between two pings of the supervisor."""
HEARTBEAT_S = 0.5
"""Interval between two heartbeats of an agent; a change of phase or an exit code is sent at once."""
MOST_HEARTBEAT_S = 2.5
"""The longest interval between two heartbeats, of agents of many nodes."""
AGENT_LOST_S = 10.0
"""Time without a message after which the supervisor treats a node as lost. It is several heartbeats, and more than FORK_S,
during which an agent waits for its warm process and sends nothing."""
AGENT_QUIET_S = 3.0
"""Time without a message after which a node counts as lost if the ranks do not advance either: two signs agree. No agent waits
for a fork then, so that it is only more than a heartbeat."""
SUPERVISOR_LOST_S = 15.0
"""Time without a message after which an agent ends its ranks and itself. It is more than AGENT_LOST_S, so that no agent ends
ranks that the supervisor still considers alive."""
LEASE_HEARTBEAT_S = 1.0
"""Interval between two heartbeats of the supervisor on the file system, by the time of lease.json."""
LEADER_SUSPECT_S = 2.0
"""Time without a message after which an agent of a job that outlives its batch host looks at that heartbeat."""
LEADER_SILENT_S = 5.0
"""Time without a message after which the supervisor of such a job counts as dead, if its heartbeat has also stood still for
HEARTBEAT_STILL_S. It is less than SUPERVISOR_LOST_S, because two signs agree."""
HEARTBEAT_STILL_S = 3.0
"""Time for which an agent must have seen no heartbeat before another supervisor may take over; several LEASE_HEARTBEAT_S."""
LEADER_STOPPED_S = 1.5
"""Time without a message after which an agent looks whether a supervisor on its own host is stopped (SIGSTOP)."""
TURN_S = 2.0
"""Time for which an agent lets the agent before it start a supervisor, when both have lost theirs."""
JOIN_S = 1.0
"""Time without a further agent after which a new supervisor that has enough of them begins."""
LATE_S = 4.0
"""The same for one that has too few agents: it then does without them."""
ADOPT_S = 10.0
"""Timeout of a new supervisor's wait for the agents of the job."""
SUCCESSION_S = 60.0
"""Time without a new supervisor after which the agents of a job end."""
STAND_BY_S = 12.0
"""Time without a heartbeat after which a superseded supervisor on the batch host leads again. It is more than the agents need
to choose one."""
MINORITY_S = 20.0
"""Time for which a supervisor that has lost more than half of its agents waits whether these choose another one. It is more
than SUPERVISOR_LOST_S - AGENT_LOST_S + HEARTBEAT_STILL_S + ADOPT_S."""
END_JOB_S = 3.0
"""Time for which a supervisor outside of the batch script waits whether the script ends the job, before it does that itself."""


def heartbeat_s(nodes: int) -> float:
    """Interval between two heartbeats of an agent of a job with this number of nodes. Above 1,024 nodes it grows with them, so
    that the supervisor gets about 2,000 heartbeats per second."""
    return min(MOST_HEARTBEAT_S, HEARTBEAT_S * max(1.0, nodes / 1024))


# Start of a job: the agents

CONNECT_S = 60.0
"""Timeout of an agent's connection to the supervisor. It is less than GATHER_S, so that the agent can report the firewall
before it is killed."""
CONNECT_ONE_S = 5.0
"""Timeout of one of these connections, to one of the supervisor's addresses."""
GATHER_S = 300.0
"""Time from the start of the job step until every agent must have connected; then the run starts with the connected nodes, if
they are enough. A node may have to unpack a container first."""
GATHER_IMAGE_S = 3600.0
"""The same in a container, because a node can have to import the image first. cluster.start_timeout_s replaces both."""
HANDSHAKE_S = 10.0
"""Time after which the supervisor closes a connection that has not proved that it is an agent of this job."""
LINK_S = 4.0
"""Timeout of sending a megabyte from one node to the next in the pre-flight check."""
MOST_CLOCK_SKEW_S = 60.0
"""Maximum difference between the clocks of a node and the supervisor: with more, munge refuses credentials and caches that
compare times fail."""

# Start of an attempt: the ranks

WARM_READY_S = 300.0
"""Timeout of the warm process's import of the training stack; after it the ranks are started without the warm process."""
FORK_S = 5.0
"""Timeout of the warm process's fork of one rank."""
FIRST_WORD_S = 20.0
"""Timeout of a forked rank's first heartbeat, which needs no import; then the ranks are started without the warm process."""
FETCH_STALLED_S = 900.0
"""Time without a new byte after which a fetch from a hub has failed. While a data set is prepared, no bytes arrive."""

# A server that generates answers

SERVER_CHECK_S = 1.0
"""Interval between two looks at a server's /health."""
SERVER_ANSWER_S = 5.0
"""Timeout of one of these looks."""
SERVER_SILENT_S = 30.0
"""Time without a successful look after which a server that has answered before is killed and started again. An inference server
answers while it generates. It is less than the default of resources.hang_timeout_s, so that the ranks, which wait for the
server, do not count as hung before."""

# Hang detection: how long can a rank stay in one phase?

HANG_FLOORS_S: Mapping[str, float] = {
    "start": 300.0,
    "import": 600.0,
    "load": 3600.0,  # hundreds of GiB from a busy file system
    "data": 3600.0,
    "first step": 1800.0,  # it can include compilation
    "step": 1800.0,
    "eval": 3600.0,
    "save": 1800.0,
    "export": 14_400.0,
}
"""Phase -> its shortest limit. resources.hang_timeout_s replaces the limits of step and eval once the run has measured how long
these phases take."""
OTHER_HANG_FLOOR_S = 1800.0
"""The shortest limit of a phase that is not listed."""
EXPORT_S = 14_400.0
"""Timeout of the collective in which the other ranks wait while rank 0 writes the model, loads it again and compares. A large
base model takes longer than a collective's usual half hour."""
SAVER_GIVES_UP = 2
"""Multiple of plugins.sharded_checkpoint.timeout_s after which a rank stops waiting for its checkpoint writer: one for its own
writing, one for the answers of the other ranks."""
SAVE_HANGS = 3
"""Multiple of plugins.sharded_checkpoint.timeout_s after which a rank in phase save counts as hung, if its floor is less.
It is more than SAVER_GIVES_UP, so that the rank first ends by itself and reports the reason."""

STOPPED_S = 1.0
"""Time for which a rank may be stopped from outside (SIGSTOP) while another rank runs. When all are stopped, the whole job is
suspended, and resources.hang_timeout_s is the limit."""

# End of an attempt and of a job

ANSWER_S = 10.0
"""Timeout of an agent's answer to an order: open a port, write stacks, kill the ranks."""
DUMP_S = 0.5
"""Wait between the signal that makes ranks write their stacks and the reading of the stacks."""
END_RANKS_S = 5.0
"""Timeout of the wait for killed ranks before an agent ends."""
END_AGENTS_S = 10.0
"""Timeout of the job step's end after its agents were ordered to end; then the step is killed."""
STOP_GRACE_S = 30.0
"""Time from SIGTERM to SIGKILL for a child process. Slurm's own KillWait is 30 s by default."""
