"""The shell commands of the documentation, as a reader would type them."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

_PROGRAM = re.compile(r"(?:echo .* \| )?(?:[A-Z_]+=\S+ )*(?:python -m )?launcher (?!\.\.\.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """One command of a page."""

    page: str
    line: int
    text: str
    """With its continuation lines and its here-document."""


def read_blocks(page: str) -> list[Typed]:
    """The commands in the page's ```sh blocks, in order."""
    found: list[Typed] = []
    inside = False
    for number, line in joined(ROOT / page):
        if line.startswith("```"):
            inside = line == "```sh"
        elif inside and line.strip() and not line.startswith("#"):
            found.append(Typed(page=page, line=number, text=line))
    return found


def read_indented(page: str) -> list[Typed]:
    """The commands in the page's indented blocks that call the launcher."""
    found: list[Typed] = []
    for number, line in joined(ROOT / page):
        text = line[4:].removeprefix("$ ")
        if line.startswith("    ") and _PROGRAM.match(text):
            found.append(Typed(page=page, line=number, text=text))
    return found


def joined(path: Path) -> list[tuple[int, str]]:
    """Number and text of each line; continuation lines and here-documents belong to the line that begins them."""
    found: list[tuple[int, str]] = []
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        while line.endswith("\\"):
            line += "\n" + next(lines)[1]
        if heredoc := re.search(r"<< '(\w+)'$", line):
            for _, more in lines:
                line += "\n" + more
                if more == heredoc[1]:
                    break
        found.append((number, line))
    return found
