"""Messages between the supervisor, agents, warm processes and ranks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.protocol.codec import ProtocolError, decode
from launcher.protocol.handshake import FROM_AGENT, FROM_SUPERVISOR
from launcher.protocol.ranks import FROM_RANK, FROM_WARM, TO_RANK, TO_WARM
from launcher.protocol.to_agent import TO_AGENT
from launcher.protocol.to_supervisor import TO_SUPERVISOR
from tests.security.surfaces.base import Surface, as_lines, example


def wire(folder: Path) -> list[Surface]:
    """Messages between the supervisor, agents, warm processes and ranks."""
    wires = {
        "agent": TO_AGENT, "supervisor": TO_SUPERVISOR, "supervisor, before the handshake": FROM_AGENT,
        "agent, before the handshake": FROM_SUPERVISOR, "agent, by a rank": FROM_RANK, "rank": TO_RANK,
        "agent, by a warm process": FROM_WARM, "warm process": TO_WARM,
    }  # fmt: skip
    return [
        Surface(name=f"message to {name}", good=as_lines(map(example, accepted.values())), suffix=".jsonl",
                read=lambda content, accepted=accepted: _decode_each(content, accepted))
        for name, accepted in wires.items()
    ]  # fmt: skip


def _decode_each(content: bytes, accepted: Mapping[str, Any]) -> None:
    for line in content.split(b"\n"):
        try:
            decode(line, accepted)
        except ProtocolError:
            continue
