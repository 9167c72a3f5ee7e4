"""The messages that arrive on a channel: the SOCK_SEQPACKET socket between an agent and one of its ranks."""

import socket
from collections.abc import Iterator, Mapping

from launcher.output import say
from launcher.protocol.codec import Message, ProtocolError, decode

_LONGEST = 4096
"""Bytes of the longest packet."""


def received(channel: socket.socket, accepted: Mapping[str, type[Message]], sender: str) -> Iterator[Message]:
    """The messages that have arrived on a non-blocking channel. An invalid one is reported with its `sender` and skipped."""
    while True:
        try:
            data = channel.recv(_LONGEST)
        except OSError:  # nothing has arrived, or the other end is gone
            return
        if not data:
            return
        try:
            message = decode(data, accepted)
        except ProtocolError as error:
            say(f"{sender} sent an invalid message: {error}")
            continue
        yield message
