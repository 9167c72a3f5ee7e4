"""Counts, times and sizes as text."""


def plural(count: int, unit: str) -> str:
    """`1 step`, `2,000 steps`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time with three significant digits, in the largest unit of which it has at least two."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def age(seconds: float) -> str:
    """A time in whole days, hours, minutes or seconds: the largest unit of which it has at least one."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def mebibytes(count: float) -> str:
    """`1.5 MiB`."""
    return f"{count / 2**20:.1f} MiB"


def gibibytes(count: float) -> str:
    """`1.50 GiB`."""
    return f"{count / 2**30:.2f} GiB"


def significant(value: float, digits: int = 4) -> float:
    """The value, rounded to `digits` significant digits."""
    return float(f"{value:.{digits}g}")
