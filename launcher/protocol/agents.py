"""What the supervisor and the agents of the nodes tell each other, over one TCP connection per node."""

from typing import NamedTuple

from launcher.protocol.codec import Message, dataclass, kinds

# supervisor -> agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Message):
    """The supervisor lives. An agent that hears nothing for a while ends its ranks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPort(Message):
    """Bind the port at which the ranks meet; the agent keeps the socket open and hands it to rank 0. Answer: PortOpened."""

    attempt: int
    """Number of the attempt, from 1."""
    address: str
    """Address of this node at which the ranks meet. The port is bound only there; if empty, at all addresses of the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRanks(Message):
    """Start the ranks of this node as soon as the warm process can fork them. Answers only if that fails: StartFailed."""

    attempt: int
    """Number of the attempt, from 1."""
    first_rank: int
    """Global number of this node's first rank."""
    address: str
    """Address at which the ranks meet (MASTER_ADDR)."""
    own_address: str
    """Address at which other nodes reach this one."""
    port: int
    """Port at which the ranks meet (MASTER_PORT)."""
    lease: str
    """Nonce of this supervisor's lease, which the ranks compare before they commit a checkpoint."""
    model_commit: str | None
    """The commit of the model on its hub, which every rank must load; None for a model that is not from a hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown(Message):
    """Save and end: the agent passes it to each of its ranks, which act at a step that they agree on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRanks(Message):
    """Send SIGKILL to all ranks, and end a fetch. Answer: RanksEnded, once none of them lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpStacks(Message):
    """Write the Python stacks of all ranks. Answer: StacksDumped."""

    folder: str
    """Folder below logs/ to write them to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenForLink(Message):
    """Listen for the test message of the previous node. Answer: LinkListening."""

    secret: str
    """What the message must begin with; other connections are closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLink(Message):
    """Send a test message to the next node. Answer: LinkChecked."""

    address: str
    """Address of the next node."""
    port: int
    """Port at which the next node listens."""
    secret: str
    """What the message begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFromHub(Message):
    """Fetch the model and the data from their hub into the cache. Answers: FetchProgress, and in the end FetchEnded."""

    wanted: str
    """launcher.hub.Wanted, with the commit of the model if it is known, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartServer(Message):
    """Start a server that generates answers, after the one before it is killed. Answers: ServerState, whenever it changes."""

    serial: int
    """Number of this start in the job, from 1; answers about an earlier one are ignored."""
    words: tuple[str, ...]
    """Its command, in which the agent replaces {host} and {port}."""
    environment: dict[str, str]
    """Its variables beside those of the ranks."""
    address: str
    """Address of this node at which the ranks reach it."""
    first_gpu: int
    """The first of the node's GPUs that it gets."""
    gpus: int
    """How many GPUs it gets."""
    folder: str
    """Folder below logs/ of its log."""
    timeout_s: float
    """Seconds until it must answer, or else is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndServer(Message):
    """Kill the server, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAt(Message):
    """A server answers: the agent passes it to its ranks, now or as soon as they are started."""

    serial: int
    """Number of the server's start, as in StartServer."""
    url: str
    """Where it answers, such as http://10.0.0.4:10023."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAgent(Message):
    """End: the job is over."""


# agent -> supervisor


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
    """For how long it had to wait besides, because other processes had the processors of the host."""


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


TO_AGENT = kinds(
    Ping,
    OpenPort,
    StartRanks,
    Shutdown,
    KillRanks,
    DumpStacks,
    ListenForLink,
    CheckLink,
    FetchFromHub,
    StartServer,
    EndServer,
    ServerAt,
    EndAgent,
)
"""What an agent accepts."""
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
