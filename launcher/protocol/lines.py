"""Messages over a pipe, one per line."""

from collections.abc import Iterator, Mapping
from typing import IO

from launcher.protocol.codec import Message, decode, encode


def write_line(stream: IO[bytes], message: Message) -> None:
    """Writes the message as one line, at once."""
    stream.write(encode(message) + b"\n")
    stream.flush()


def read_lines(stream: IO[bytes], accepted: Mapping[str, type[Message]]) -> Iterator[Message]:
    """The messages in their order, until the end of the pipe; ProtocolError for a line that is not one of `accepted`.

    A last line without its end is left out: its writer was killed while it wrote.
    """
    while (line := stream.readline()).endswith(b"\n"):
        yield decode(line, accepted)
