"""Markdown of the reference pages: tables and headings."""

from collections.abc import Iterable, Sequence

GENERATED = "<!-- Generated from the code by `make reference`. Change the code, not this page. -->"


def page(title: str, intro: str, *parts: str) -> str:
    """A whole page, with a line that says that it is generated."""
    return "\n\n".join([f"# {title}", GENERATED, intro, *parts]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `|` and line ends inside of a cell are kept from ending it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Inline code; empty for no text."""
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
