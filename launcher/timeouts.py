"""The time-outs of supervisor, agents and ranks, in seconds where nothing else is said.

They stand beside each other because they depend on each other; tests/unit/test_timeouts.py holds the relations. A time-out
that concerns one file alone, such as the wait for an answer of a scheduler's program, stands in that file.
"""

from collections.abc import Mapping

# Supervisor and agents: who is alive?

PING_S = 1.0
"""Between two pings of the supervisor."""
HEARTBEAT_S = 0.5
"""Between two heartbeats of an agent; a change of phase or an exit code is sent at once."""
AGENT_LOST_S = 10.0
"""Without a message after which the supervisor gives a node up. At least several heartbeats, and more than FORK_S, during
which an agent waits for its warm process and sends nothing."""
SUPERVISOR_LOST_S = 15.0
"""Without a message after which an agent ends its ranks and itself. More than AGENT_LOST_S: no agent ends ranks on which the
supervisor still counts."""

# Start of a job: the agents

CONNECT_S = 60.0
"""For an agent to reach the supervisor. Less than GATHER_S, so that the agent names the firewall before it is killed."""
GATHER_S = 300.0
"""From the start of the job step until every agent must have said hello; then the run starts with the nodes that have, where
they are enough. A container may have to be unpacked first."""
LINK_S = 4.0
"""For a megabyte from one node to the next one in the pre-flight check."""
MOST_CLOCK_SKEW_S = 60.0
"""That the clock of a node may differ from the supervisor's: munge refuses credentials at more, and caches go by the time."""

# Start of an attempt: the ranks

WARM_READY_S = 300.0
"""For the warm process to import the training stack; then the ranks are started without it."""
FORK_S = 5.0
"""For the warm process to fork one rank."""
FIRST_WORD_S = 20.0
"""For a forked rank to send its first heartbeat, which needs no import; then the ranks are started without the warm process."""
FETCH_STALLED_S = 900.0
"""Without a new byte after which fetching from a hub has failed. Preparing a data set fetches nothing for a while."""

# Hang detection: how long may a rank stay in one phase?

HANG_FLOORS_S: Mapping[str, float] = {
    "start": 300.0,
    "import": 600.0,
    "load": 3600.0,  # hundreds of GiB from a busy file system
    "data": 3600.0,
    "first step": 1800.0,  # it may compile
    "step": 1800.0,
    "eval": 3600.0,
    "save": 1800.0,
    "export": 14_400.0,
}
"""Phase -> the shortest limit. resources.hang_timeout_s takes the place of those of step and eval once the run has shown how
long they take."""
OTHER_HANG_FLOOR_S = 1800.0
"""The same for a phase that is not listed."""
EXPORT_S = 14_400.0
"""For rank 0 to write the model, load it back and compare, while the other ranks wait in a collective. A large base model
takes longer than a collective's usual half hour."""
SAVER_GIVES_UP = 2
"""Times plugins.sharded_checkpoint.timeout_s after which a rank gives its checkpoint writer up: one for its own writing, one
for the answers of the other ranks."""
SAVE_HANGS = 3
"""Times plugins.sharded_checkpoint.timeout_s after which a rank in phase save counts as hung, if its floor is less.
More than SAVER_GIVES_UP: the rank then ends by itself and says why, which is better than a hang without a reason."""

# End of an attempt and of a job

ANSWER_S = 10.0
"""For the answer of an agent to an order: open a port, write stacks, kill the ranks."""
DUMP_S = 0.5
"""Between the signal that asks ranks for their stacks and the reading of what they wrote."""
END_RANKS_S = 5.0
"""For killed ranks to be gone before an agent ends."""
END_AGENTS_S = 10.0
"""For the job step to end once its agents were told to; then it is killed."""
STOP_GRACE_S = 30.0
"""From SIGTERM to SIGKILL for a child process. Slurm's own KillWait is 30 s by default."""
