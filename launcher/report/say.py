"""Numbers as text for people."""

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def duration(seconds: float) -> str:
    """A time as `3 h 20 min`, `42 s` or `0.25 s`, in at most two units."""
    for number, (unit, size) in enumerate(_UNITS):
        if seconds >= size:
            smaller, small = (*_UNITS, ("s", 1))[number + 1]
            count = round(seconds / small) if small > 1 else round(seconds)
            whole, rest = divmod(count, size // small)
            return f"{whole} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.3g} s"


def size(count: float) -> str:
    """A number of bytes with three significant digits, in the largest unit of which there is at least one."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
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
