"""What the agents of the nodes send to the supervisor, over one TCP connection per node."""

from typing import NamedTuple

from launcher.protocol.codec import Message, dataclass, kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node has found out about itself before ranks start on it."""

    time: float
    """Clock of the node, in seconds since the epoch."""
    disk: int
    """Free bytes at the run dir."""
    memory: int
    """Available bytes of host memory."""
    problems: tuple[str, ...]
    """Reasons, a sentence each, why the node cannot have ranks; empty for a healthy node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """The first message of an agent after the handshake, which has proved its index."""

    host: str
    """Name of the host, at which other nodes reach it."""
    facts: NodeFacts
    """The result of the agent's pre-flight check."""


class ProbeResult(NamedTuple):
    """The newest measurement of a rank's speed."""

    number: int
    """How many measurements the rank has taken."""
    seconds: float
    """How long the newest one took, without `waited_s`."""
    waited_s: float
    """Additional seconds for which it had to wait, because other processes had the processors of the host."""


class RankState(NamedTuple):
    """What an agent knows about one rank. On the wire it is a list, because a heartbeat has one for every rank of a node."""

    phase: str
    """What the rank does: start, import, load, data, first step, step, save, eval or export."""
    step: int
    """The rank's count within the phase: optimizer steps done, or rows of data."""
    age_s: float
    """Seconds since the rank last reported."""
    probe: ProbeResult | None
    """None before the first measurement."""
    stopped_s: float
    """Seconds since the process was first seen stopped (SIGSTOP); 0 for a process that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHeartbeat(Message):
    """The state of all ranks of a node, every half second and at once when a rank changes its phase or ends."""

    first_rank: int
    """Global number of the first of `ranks`; the others follow."""
    ranks: tuple[RankState, ...]
    """Empty while no rank is started."""
    codes: dict[int, int]
    """Exit codes of the ranks that have ended, by global number; 128 + N for a rank that signal N has ended."""
    waiting: bool = False
    """Whether StartRanks has come, and the warm process still imports the training stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOpened(Message):
    """The answer to OpenPort."""

    attempt: int
    """The attempt that sent the request."""
    port: int
    """The port that is bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed(Message):
    """The ranks of this node did not start. The agent starts the ranks of the next attempt without the warm process."""

    host: str
    """Name of the host."""
    reason: str
    """What failed, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksEnded(Message):
    """All ranks on this node have ended: the answer to KillRanks."""

    host: str
    """Name of the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StacksDumped(Message):
    """The stacks are written: the answer to DumpStacks."""

    states: dict[int, str]
    """State of the process of each rank that lives, by global number: T is stopped, D waits for I/O, as in proc(5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkListening(Message):
    """The answer to ListenForLink."""

    port: int
    """The port at which this node listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChecked(Message):
    """The answer to CheckLink."""

    error: str
    """Empty if the next node has received the whole message, else what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProgress(Message):
    """Fetching makes progress."""

    bytes: int
    """Bytes that have been fetched so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchEnded(Message):
    """Fetching is over."""

    code: int
    """Exit code of the process that fetched; 0 for success."""
    error: str
    """Why it failed; empty if it gave no reason, and on success."""
    commit: str | None
    """The commit of the model that is in the cache now; None if no model is from a hub."""
    bytes: int
    """Bytes that have been fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState(Message):
    """A server answers for the first time, or has ended."""

    serial: int
    """Number of its start, as in StartServer."""
    url: str
    """Where it answers; empty for one that has ended."""
    code: int
    """Its exit code, 128 + N for signal N; 0 while it answers."""
    reason: str
    """Why it is over, as a sentence; empty while it answers."""


TO_SUPERVISOR = kinds(
    Hello,
    NodeHeartbeat,
    PortOpened,
    StartFailed,
    RanksEnded,
    StacksDumped,
    LinkListening,
    LinkChecked,
    FetchProgress,
    FetchEnded,
    ServerState,
)
"""What a supervisor accepts."""
