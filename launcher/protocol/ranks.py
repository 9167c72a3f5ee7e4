"""What an agent, its ranks and its warm process tell each other, one message per packet over Unix sockets (SOCK_SEQPACKET)."""

import signal

from launcher.protocol.codec import Message, dataclass, kinds
from launcher.protocol.to_agent import ServerAt, Shutdown
from launcher.protocol.to_supervisor import ProbeResult

STACKS_SIGNAL = signal.SIGUSR2
"""Makes a rank write its Python stacks to the memory file of LAUNCHER_STACKS_FD."""

# rank -> agent


@dataclass(frozen=True, slots=True, kw_only=True)
class RankHeartbeat(Message):
    """A rank reports that it makes progress."""

    phase: str
    """What the rank does now, as in RankState."""
    step: int
    """The rank's count within the phase: optimizer steps done, or rows of data."""
    probe: ProbeResult | None
    """The newest measurement of the rank's speed; None before the first."""


# agent -> warm process


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRank(Message):
    """Fork a rank. The packet carries file descriptors: first the one of the log, then those of `descriptors`."""

    environment: dict[str, str]
    """The whole environment of the rank."""
    descriptors: tuple[str, ...]
    """Names of the variables that tell the rank the numbers of the other descriptors, in their order."""


# warm process -> agent


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmReady(Message):
    """The training stack is imported."""

    can_fork: bool
    """False if an import has opened a CUDA context, which a forked process cannot use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankForked(Message):
    """The answer to ForkRank."""

    pid: int
    """Process id of the rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankExited(Message):
    """A forked rank has ended."""

    pid: int
    """Process id of the rank."""
    code: int
    """Its exit code; -N where signal N has ended it, as in subprocess."""


FROM_RANK = kinds(RankHeartbeat)
TO_RANK = kinds(Shutdown, ServerAt)
TO_WARM = kinds(ForkRank)
FROM_WARM = kinds(WarmReady, RankForked, RankExited)
