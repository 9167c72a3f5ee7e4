"""What the supervisor sends to the agents of the nodes, over one TCP connection per node."""

from launcher.protocol.codec import Message, dataclass, kinds


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
    """Save and end: the agent passes it to each of its ranks, which do both at a step that they agree on."""


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
    """launcher.hub.HubInputs, with the commit of the model if it is known, as JSON."""


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
