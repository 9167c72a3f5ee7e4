"""A recipe of another tool that is given as a file of one's own."""

from collections.abc import Sequence

from launcher.config.other_names import counterpart

_MANY = 3
"""How many keys of another tool make a file count as its recipe; with fewer, each key is refused by itself."""


def recipe_in(names: Sequence[str], own: Sequence[str], file: str) -> str | None:
    """One sentence for a file whose keys at the top are those of another tool; None for any other file. `own`: keys here."""
    foreign = [name for name in names if name not in own and counterpart(name) is not None]
    if len(foreign) < _MANY:
        return None
    return (
        f"{', '.join(foreign[:_MANY])}{' and others' if len(foreign) > _MANY else ''} are keys of another tool; python -m "
        f"launcher convert-recipe {file} writes a file with the keys of this launcher"
    )
