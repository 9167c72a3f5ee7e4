"""Where the text of an answer ends."""

import pytest

from launcher.train.after.generation import UpToStop


def handed_on(pieces: list[str], *stop: str) -> tuple[list[str], bool]:
    said: list[str] = []
    text = UpToStop(stop, said.append)
    for piece in pieces:
        text.add(piece, last=False)
    text.add("", last=True)
    return said, text.found


@pytest.mark.parametrize(
    ("pieces", "stop", "said"),
    [
        (["red, ", "green"], (), ["red, ", "green"]),
        (["red, ", "green"], ("green",), ["red, "]),
        (["red, gr", "een"], ("green",), ["red, "]),
        (["red, gr", "ay"], ("green",), ["red, ", "gray"]),
        (["gr", "e", "en"], ("green",), []),
        (["a b"], ("b", "a"), []),
        (["xx", "xy"], ("xxy",), ["x"]),
        (["ends with gr"], ("green",), ["ends with ", "gr"]),
        (["one\n", "two\n\nthree"], ("\n\n",), ["one", "\ntwo"]),
    ],
)
def test_text_goes_on_up_to_the_first_stop_and_what_could_begin_one_waits(pieces, stop, said):
    assert handed_on(pieces, *stop)[0] == said


def test_what_comes_after_a_stop_is_left_out():
    assert handed_on(["a STOP b", " c"], "STOP") == (["a "], True)
    assert not handed_on(["a"], "STOP")[1]
