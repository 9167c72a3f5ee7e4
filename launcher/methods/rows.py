"""Checks whether a method can learn from the rows of a file."""

from collections.abc import Iterable

from launcher.data.kinds import SPOKEN, conversion
from launcher.errors import DataError
from launcher.methods.registry import METHODS, find_method


def check_serves(trainer: str, path: str, kinds: Iterable[str]) -> None:
    """DataError if a method cannot learn from rows of these kinds; it names methods that can, and how to convert the rows."""
    wanted = find_method(trainer).learns_from
    for kind in kinds:
        if kind in wanted:
            continue
        others = [name for name in METHODS.names() if kind in find_method(name).learns_from]
        target = conversion(kind, wanted[0])
        written = f", or convert them: python -m launcher data convert {path} OUT --to {target}"
        if kind == "prompt" and "chat" in wanted:
            written = "; if a column holds the answer to learn, name it: data.columns={completion: COLUMN}"
        if kind == "classified":
            written = "; to train on the text alone: data.drop=[label]"
        if wanted[0] == "classified" and kind in ("text", "chat"):
            written = "; if a column holds the class, name it: data.columns={label: COLUMN}"
        raise DataError(
            f"{path} holds {SPOKEN[kind]}s, but trainer.kind={trainer} learns from "
            f"{' or '.join(f'{SPOKEN[one]}s' for one in wanted)}; use trainer={' or '.join(others)}"
            + (written if target or written.startswith(";") else "")
        )
