"""Messages over a pipe."""

import io

import pytest

from launcher.protocol.codec import ProtocolError
from launcher.protocol.lines import read_lines, write_line
from launcher.protocol.work.chats import SERVED, CancelAnswer


def test_messages_come_back_in_their_order_and_an_unfinished_line_is_left_out():
    pipe = io.BytesIO()
    for number in (1, 2):
        write_line(pipe, CancelAnswer(id=number))
    pipe.write(b'{"kind":"CancelAnswer","i')
    pipe.seek(0)
    assert list(read_lines(pipe, SERVED)) == [CancelAnswer(id=1), CancelAnswer(id=2)]


def test_a_line_that_is_no_message_is_one_error():
    with pytest.raises(
        ProtocolError, match="unknown kind of message 'AskChat'; known: ServedChat, CancelAnswer"
    ):
        list(read_lines(io.BytesIO(b'{"kind":"AskChat","messages":[]}\n'), SERVED))
