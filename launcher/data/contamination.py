"""Texts of a benchmark that share words with training rows, found as the data check finds those of an evaluation file.

`data check --tasks` and a launch with eval_job tell it before the training, `evaluate --tasks` after it.
"""

from collections.abc import Sequence

from launcher.data.counting import Counting, words_in
from launcher.data.overlap import LENGTH
from launcher.data.part import Part
from launcher.data.reading import Reading
from launcher.data.survey import survey
from launcher.data.task_documents import Documents


def shared_with(texts: Sequence[str], path: str, reading: Reading) -> set[int]:
    """Indices of the texts that share 13 consecutive words with a row of these files; DataError if they cannot be read."""
    part = Part()
    add_words(part, texts)
    return set(survey(path, Counting(reading=reading), part).seen)


def add_words(part: Part, texts: Sequence[str]) -> None:
    """Adds the words of each text as those of one more row, which is compared and not counted."""
    for text in texts:
        part.words.extend(words_in(text))
        part.ends.append(len(part.words))


def with_tasks(evaluation: Part | None, tasks: Sequence[Documents]) -> Part | None:
    """The words of the evaluation rows, then those of the documents; None if there are neither."""
    if not tasks:
        return evaluation
    joined = Part()
    if evaluation:
        joined.words.extend(evaluation.words)
        joined.ends.extend(evaluation.ends)
    for one in tasks:
        add_words(joined, one.texts)
    return joined


def take_tasks(seen: dict[int, int], before: int, tasks: Sequence[Documents]) -> list[dict[int, int]]:
    """Document -> training line for each task, taken out of what was found for the words of `with_tasks`.

    `before`: the number of evaluation rows.
    """
    found: list[dict[int, int]] = []
    for one in tasks:
        after = before + len(one.texts)
        found.append({row - before: seen.pop(row) for row in sorted(seen) if before <= row < after})
        before = after
    return found


def told(task: str, shared: int, documents: int) -> str:
    """The sentence on a task whose documents are in the training data."""
    return (
        f"{shared:,} of {documents:,} documents of {task} share {LENGTH} consecutive words with a training row, so their "
        "scores may measure memorization"
    )
