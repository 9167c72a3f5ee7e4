"""The specification of a row format. The module of a format holds one Format under the name SPEC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from launcher.data.kinds import Example

Fields = Mapping[str, Any]
Writer = Callable[[Example], dict[str, Any]]

ABOUT = (
    "id",
    "idx",
    "index",
    "source",
    "dataset",
    "category",
    "language",
    "lang",
    "metadata",
    "meta",
    "license",
    "",
    "Unnamed: 0",
    "unnamed: 0",
    "__index_level_0__",
)
"""Keys about the origin of a row. A row of any format may have them, and they are not trained on. The last four are what
pandas writes for its index."""
SYSTEM = ("system", "system_prompt")
"""Keys of a system prompt that is not one of the turns."""
TOOLS = ("tools", "functions", "parallel_tool_calls")


def _nothing(row: Fields) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of rows. Functions take and return rows as plain JSON values; none of them may change its argument.

    `read` and `write` raise BrokenRow for a row that breaks a rule, or for what the format cannot hold.
    """

    keys: tuple[str, ...]
    """Keys that a row can have in addition to those of ABOUT."""
    kind: str
    """The kind of common form that `read` returns."""
    precedence: int
    """Formats are tried in ascending order until one matches a row. Those of the shipped ones are between 5 and 95."""
    matches: Callable[[Fields], bool]
    """Whether a row with these keys is of this format; called for every row without a named format, so it must be fast."""
    read: Callable[[Fields], Example]
    """Turns a row into the common form of its kind; see launcher.data.kinds."""
    write: Writer
    """Turns a common form of one of the kinds in `writes` into a row."""
    writes: tuple[str, ...]
    """Kinds of common forms that `write` takes."""
    from_chat: bool = False
    """Whether `write` takes the chat with the good answer instead of a pair or a labelled answer."""
    other_spellings: Mapping[str, Writer] = field(default_factory=dict[str, Writer])
    """More names for `data convert --to`, each with a writer that takes what `write` takes."""
    later_columns: tuple[str, ...] = ()
    """Keys that a later row can have although the first has not: a CSV header is written before all rows are known."""
    json_columns: tuple[str, ...] = ()
    """Keys whose cells in CSV always hold JSON."""
    text_or_turns: tuple[str, ...] = ()
    """Keys whose cells in CSV hold JSON if they begin like a list of turns, and plain text otherwise."""
    unread: Callable[[Fields], tuple[str, ...]] = _nothing
    """Keys of `keys` that `read` ignores in this row, because another key takes their place; they are counted and reported."""
    lists: tuple[str, ...] = ()
    """Keys that hold lists of turns, never a text; text in them is read as that list."""
    raw: tuple[str, ...] = ()
    """Keys whose values are not turns; they are read unchanged."""
    meanings: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Other names that people give to keys of this format. The error for a row without a known format suggests data.columns."""
    example: Mapping[str, Any]
    """A row that `matches` accepts and `read` reads."""
    shape: str
    """The row in one line of documentation, as Markdown."""
    note: str = ""
    """Text that the documentation adds after the kind, with its punctuation."""
