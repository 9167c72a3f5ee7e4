"""Words for people that every layer needs."""


def plural(count: int, unit: str) -> str:
    """`1 step`, `2,000 steps`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
