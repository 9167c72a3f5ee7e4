"""The messages on the channel between an agent and a rank."""

import socket

from launcher.protocol.channel import received
from launcher.protocol.codec import encode
from launcher.protocol.ranks import TO_RANK
from launcher.protocol.to_agent import ServerAt, Shutdown


def test_a_packet_that_is_no_message_is_told_with_its_sender_and_the_next_one_is_read(capfd):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        for packet in (encode(Shutdown()), b"{", encode(ServerAt(serial=1, url="http://n1:1"))):
            theirs.send(packet)
        assert [*received(ours, TO_RANK, "rank 3")] == [Shutdown(), ServerAt(serial=1, url="http://n1:1")]
        assert "rank 3 sent an invalid message: not a line of JSON" in "".join(capfd.readouterr())
        theirs.close()
        assert [*received(ours, TO_RANK, "rank 3")] == []
