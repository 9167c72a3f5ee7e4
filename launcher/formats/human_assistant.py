"""`human_assistant`: pairs of whole transcripts as text, with "Human:" and "Assistant:" before each turn (HH-RLHF)."""

from typing import Any

from launcher.data.fields import make_turn, read_string
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example
from launcher.data.transcript import answer_of, asked_in, is_transcript, split
from launcher.data.turns import Message, check_order, shared_turns
from launcher.formats.base import Fields, Format


def _matches(row: Fields) -> bool:
    if "chosen" not in row or "rejected" not in row:
        return False
    return is_transcript(row["chosen"]) or is_transcript(row.get("prompt"))


def _read(row: Fields) -> Example:
    if is_transcript(row.get("prompt")):
        prompt = asked_in(read_string(row, "prompt"), "prompt")
        sides = [answer_of(read_string(row, name), name) for name in ("chosen", "rejected")]
    else:
        (prompt, chosen), (other, rejected) = (
            split(read_string(row, name), name) for name in ("chosen", "rejected")
        )
        if prompt != other:
            prompt, sides = _fork(prompt, chosen, other, rejected)
        else:
            sides = [[make_turn("assistant", chosen.strip())], [make_turn("assistant", rejected.strip())]]
    for side in sides:
        check_order([*prompt, *side])
    return {"prompt": prompt, "chosen": sides[0], "rejected": sides[1]}


def _fork(
    one: list[Message], chosen: str, other: list[Message], rejected: str
) -> tuple[list[Message], list[list[Message]]]:
    """The turns with which both transcripts begin, and the turns that follow them in each transcript."""
    sides = [
        [*one, make_turn("assistant", chosen.strip())],
        [*other, make_turn("assistant", rejected.strip())],
    ]
    shared = shared_turns(*sides)
    if not shared:
        raise BrokenRow("format", "chosen and rejected do not begin with the same question")
    return shared, [side[len(shared) :] for side in sides]


def _write(example: Example) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("chosen", "rejected"):
        turns: list[Message] = [*example["prompt"], *example[name]]
        if any(
            set(turn) != {"role", "content"} or turn["role"] not in ("user", "assistant") for turn in turns
        ):
            raise BrokenRow(
                "format", "human_assistant holds plain turns of user and assistant only; use --to preference"
            )
        said[name] = "".join(
            f"\n\n{'Human' if turn['role'] == 'user' else 'Assistant'}: {turn['content']}" for turn in turns
        )
    return said


SPEC = Format(
    keys=("prompt", "chosen", "rejected"),
    kind="pair",
    precedence=6,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("pair",),
    example={"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: What?"},
    shape='`{"chosen", "rejected"}`: transcripts with "Human:" and "Assistant:" before each turn, as in HH-RLHF',
)
