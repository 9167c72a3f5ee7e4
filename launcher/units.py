"""Counts, times, sizes and shares as text, and the one rounding of figures."""

GIB = 2**30
"""Bytes."""
_TIMES = (("d", 86_400), ("h", 3_600), ("min", 60))


def plural(count: int, unit: str) -> str:
    """`1 step`, `2,000 steps`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time with three significant digits, in the largest unit of which it has at least two."""
    for unit, one in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * one:
            return f"{seconds / one:.3g} {unit}"
    return f"{seconds:.3g} s"


def age(seconds: float) -> str:
    """A time in whole days, hours, minutes or seconds: the largest unit of which it has at least one."""
    for unit, one in _TIMES:
        if seconds >= one:
            return f"{seconds / one:.0f} {unit}"
    return f"{seconds:.0f} s"


def mebibytes(count: float) -> str:
    """`1.5 MiB`."""
    return f"{count / 2**20:.1f} MiB"


def gibibytes(count: float) -> str:
    """`1.50 GiB`."""
    return f"{count / GIB:.2f} GiB"


def significant(value: float, digits: int = 4) -> float:
    """The value, rounded to `digits` significant digits."""
    return float(f"{value:.{digits}g}")


def elapsed(seconds: float) -> str:
    """A time as `3 h 20 min`, `42 s` or `0.25 s`, in at most two units."""
    for index, (unit, one) in enumerate(_TIMES):
        if seconds >= one:
            smaller, small = (*_TIMES, ("s", 1))[index + 1]
            count = round(seconds / small) if small > 1 else round(seconds)
            whole, rest = divmod(count, one // small)
            return f"{whole} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.3g} s"


def size(count: float) -> str:
    """A number of bytes with three significant digits, in the largest unit of which there is at least one."""
    for unit, one in (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count:.0f} B"


def number(value: float) -> str:
    """A number with four significant digits and separated thousands; a whole number with all its digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return (
        f"{value:,.4g}"
        if 1e-3 <= abs(value) < 1e4
        else f"{value:,.0f}"
        if abs(value) >= 1e4
        else f"{value:.3g}"
    )


def percent(share: float) -> str:
    """A share in percent with three significant digits, or four close to 100 %, so that 99.9 % is not rounded to 100 %."""
    return f"{100 * share:.4g} %" if 0.9995 > share >= 0.995 or share >= 10 else f"{100 * share:.3g} %"
