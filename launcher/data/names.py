"""Names that are almost those of known keys, and names that mean the same as one."""

from collections.abc import Iterable

_WORDS = frozenset(
    ("date", "dates", "story", "stories", "chart", "charts", "char", "chars", "level", "levels", "test", "tests", "next")
)  # fmt: skip
"""Words of their own that are spelt almost as a known key, and mean something else."""
_SHORT = 4
"""Letters up to which a name may differ in one letter only, because short names are often alike by chance."""


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known key from which this one differs by at most two letters, added, missing, or others; None if there is none."""
    best: tuple[int, str] | None = None
    if name.lower() in _WORDS:
        return None
    for key in known:
        if _is_counted(name) != _is_counted(key):
            continue
        most = 1 if min(len(key), len(name)) <= _SHORT else 2
        if abs(len(key) - len(name)) > most:
            continue
        away = distance(name.lower(), key.lower())
        if away <= most and (best is None or away < best[0]):
            best = (away, key)
    return best[1] if best else None


def _is_counted(name: str) -> bool:
    """Whether its end tells it from columns of the same name, as in message_1 and score_A."""
    return name[-1:].isdigit() or name[-2:-1] == "_"


def distance(one: str, other: str) -> int:
    """The number of letters to add, remove or replace. Source: Wagner and Fischer, JACM 21(1), 1974."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other, start=1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (letter != wanted)))
        before = current
    return before[-1]
