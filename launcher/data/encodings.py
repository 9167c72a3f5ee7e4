"""What the bytes of a file are that are not UTF-8, and the command that converts it without harm to what is UTF-8 already.

A file that was put together from several can hold lines in two encodings. Converting such a file as a whole destroys the
characters of its valid lines (ü becomes Ã¼), so its command converts only those runs of bytes that are not UTF-8.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from launcher.data.places import open_file

_RUN = re.compile(rb"[\x80-\xff]+")
_WINDOWS = re.compile(r"[À-ÿ€„…ŠšŽžŒœŸ\xa0¡¿§«»°·´±²³ºª£©®¼½¾–—‘’“”•™]*")
"""What a text of western Europe holds besides ASCII: letters with accents, quotes and dashes."""
_LETTERS = re.compile("[À-ÿ]{3}")
"""Matches three letters with accents in a row, which show that another alphabet was read as Windows-1252."""
_LISTED = 5
_LONGEST = 64 << 20
"""Bytes of a line that are looked at together."""
_PERL = (
    "perl -MEncode=from_to -pe 's/[\\x80-\\xff]+/$c = $w = $&; "
    'from_to($w, "{name}", "UTF-8") unless utf8::decode($c); $w/ge\' OLD > NEW'
)


@dataclass(slots=True)
class Encodings:
    """What a file holds besides ASCII."""

    wrong: int = 0
    """Lines with bytes that are not UTF-8."""
    first: list[int] = field(default_factory=list[int])
    """The first of these lines, at most 5."""
    right: int = 0
    """Lines with characters in UTF-8, whatever else is on the line."""
    windows: bool = True
    """Whether all bytes that are not UTF-8 can be Windows-1252."""


def look(file: str) -> Encodings:
    """What the file holds, read once from the beginning to the end."""
    with open_file(file) as content:
        return count(content)


def count(content: BinaryIO) -> Encodings:
    """What the content holds, by its physical lines."""
    found = Encodings()
    for number, line in enumerate(_lines(content), start=1):
        if line.isascii():
            continue
        runs = _RUN.findall(line)
        wrong = [run for run in runs if not _is_utf8(run)]
        found.right += len(wrong) < len(runs)
        if wrong:
            found.wrong += 1
            found.first += [number] if len(found.first) < _LISTED else []
            found.windows = found.windows and all(map(_is_windows, wrong))
    return found


def way_out(file: str) -> str:
    """What follows "not UTF-8" in an error about the file: the encoding if it is clear, and the command."""
    found = look(file)
    name = "WINDOWS-1252" if found.windows else "ENCODING"
    said = ", but probably Windows-1252, as Excel saves it" if found.windows else ""
    if not found.right:
        return f"{said}; convert the file: iconv -f {name} -t UTF-8 OLD > NEW"
    named = ", ".join(f"{number:,}" for number in found.first)
    more = ", ..." if found.wrong > len(found.first) else ""
    return (
        f"{said}; lines with such bytes: {found.wrong:,} ({named}{more}); lines with characters in UTF-8, which iconv would "
        f"destroy: {found.right:,}; convert those bytes alone: {_PERL.format(name=name)}"
    )


def _lines(content: BinaryIO) -> Iterator[bytes]:
    while line := content.readline(_LONGEST):
        yield line


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_windows(run: bytes) -> bool:
    try:
        text = run.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return _WINDOWS.fullmatch(text) is not None and not _LETTERS.search(text)
