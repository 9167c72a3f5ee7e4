"""Texts of a benchmark that share words with training rows, found as the data check finds those of an evaluation file."""

from collections.abc import Sequence

from launcher.data.counting import Counting, count
from launcher.data.reading import Reading
from launcher.data.row import Row
from launcher.data.survey import survey


def shared_with(texts: Sequence[str], path: str, reading: Reading) -> set[int]:
    """Indices of the texts that share 13 consecutive words with a row of these files; DataError if they cannot be read."""
    rows = [Row(at, {"text": text}) for at, text in enumerate(texts) if text.strip()]
    evaluation = count(rows, Counting())
    seen = survey(path, Counting(reading=reading), evaluation).seen
    return {evaluation.lines[row] for row in seen}
