"""The first messages of a connection between the supervisor and an agent, by which each proves that it holds the job's key."""

import secrets

from launcher.protocol.codec import Message, dataclass, kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge(Message):
    """Supervisor -> whoever has connected: the first message."""

    nonce: str
    """Random text that was never sent before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(Message):
    """Agent -> supervisor: the answer to a Challenge. A connection with a wrong answer is closed."""

    index: int
    """Number of the node in the job step, from 0."""
    nonce: str
    """Random text of the agent's own."""
    proof: str
    """HMAC of the role `agent`, both nonces and the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Message):
    """Supervisor -> agent: the answer to a Proof. The agent obeys nothing before it."""

    proof: str
    """HMAC of the role `supervisor`, both nonces and the index."""


FROM_SUPERVISOR = kinds(Challenge, Welcome)
"""What an agent accepts before the supervisor has proved itself."""
FROM_AGENT = kinds(Proof)
"""What a supervisor accepts before an agent has proved itself."""


def nonce() -> str:
    """Random text."""
    return secrets.token_hex(16)
