"""Numbers as a person reads them."""

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def duration(seconds: float) -> str:
    """`3 h 20 min`, `42 s`, `0.25 s`: two units at most."""
    for number, (unit, size) in enumerate(_UNITS):
        if seconds >= size:
            smaller, small = (*_UNITS, ("s", 1))[number + 1]
            count = round(seconds / small) if small > 1 else round(seconds)
            whole, rest = divmod(count, size // small)
            return f"{whole} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.3g} s"


def size(count: float) -> str:
    """Bytes in the unit that makes them short."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count:.0f} B"


def number(value: float) -> str:
    """Four digits, with thousands apart; whole numbers as they are."""
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
    """A share in percent, with three digits; nearly all is not all."""
    return f"{100 * share:.4g} %" if 0.9995 > share >= 0.995 or share >= 10 else f"{100 * share:.3g} %"
