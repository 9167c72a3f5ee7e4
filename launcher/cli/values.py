"""Types of options: each parses a text, and raises ValueError for an invalid one."""


def positive(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def seconds(text: str) -> float:
    """A number of seconds above 0, at most an hour."""
    value = float(text)
    if not 0 < value <= 3600:
        raise ValueError
    return value


def auto_or_whole(text: str) -> int | str:
    """`auto`, or a whole number above 0."""
    return text if text == "auto" else positive(text)


def auto_or_number(text: str) -> float | str:
    """`auto`, or a number above 0."""
    if text == "auto":
        return text
    value = float(text)
    if not value > 0:
        raise ValueError
    return value
