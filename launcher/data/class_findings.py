"""What a check says of the classes of classified rows.

Source: He and Garcia, Learning from Imbalanced Data (IEEE TKDE 21(9), 2009), section 2, for what imbalance does to accuracy.
"""

from launcher.data.classes import ClassTally
from launcher.data.files import Sections
from launcher.data.part import Part

_FEW = 10
"""Rows of a class below which it is rare, whatever its share."""
_LISTED = 5


def add_classes(part: Part, evaluation: Part | None, sections: Sections) -> None:
    """Adds what is wrong with the classes of a file, and with those of its evaluation file."""
    tally = part.classes
    if not tally.rows:
        return
    _add_balance(part, tally)
    _add_contradictions(part, tally, sections)
    if evaluation is None or not evaluation.classes.rows:
        return
    there = evaluation.classes.counts
    for label in sorted(there.keys() - tally.counts.keys()):
        part.add_finding(
            "unseen_label",
            None,
            f"{there[label]:,} evaluation rows have label {label!r}, which no training row has; add training rows of it, or "
            "take these out",
        )
    for label in sorted(tally.counts.keys() - there.keys()):
        part.add_finding(
            "untested_label",
            None,
            f"no evaluation row has label {label!r} ({tally.counts[label]:,} training rows), so no metric covers it; add "
            "evaluation rows of it",
        )


def _add_balance(part: Part, tally: ClassTally) -> None:
    """Adds a class that has almost all rows, and those that have few."""
    kinds, rows = len(tally.counts), tally.rows
    if kinds == 1 and not tally.several:
        label = next(iter(tally.counts))
        part.add_finding(
            "one_class", None, f"all {rows:,} rows have label {label!r}; add rows of other classes"
        )
        return
    even = 1 / max(kinds, 1)
    for label, count in tally.counts.most_common(1):
        if count / rows > (1 + even) / 2:
            part.add_finding(
                "class_balance",
                None,
                f"label {label!r} has {count:,} of {rows:,} rows ({count / rows:.1%}), so a model that always answers it is "
                f"right in {count / rows:.1%} of them; add rows of the other classes, or set trainer.class_weight=balanced",
            )
    rare = [(label, count) for label, count in tally.counts.most_common() if _is_rare(count, rows, even)]
    if rare:
        listed = ", ".join(f"{label!r} {count:,} ({count / rows:.1%})" for label, count in rare[-_LISTED:])
        more = f" and {len(rare) - _LISTED:,} more" if len(rare) > _LISTED else ""
        part.add_finding(
            "class_balance",
            None,
            f"{len(rare):,} of {kinds:,} classes have few of the {rows:,} rows: {listed}{more}; add rows of them, join "
            "classes, or set trainer.class_weight=balanced",
        )


def _is_rare(count: int, rows: int, even: float) -> bool:
    """Whether a class has fewer than 10 rows, or less than a fifth of its even share."""
    return count < _FEW or count / rows < even / 5


def _add_contradictions(part: Part, tally: ClassTally, sections: Sections) -> None:
    """Adds rows whose words occur before with another label; they were compared only if the words were collected."""
    first: dict[int, tuple[int, int]] = {}
    for said, labels, line in zip(part.said, tally.sets, part.lines, strict=False):
        if not said:
            continue
        other, before = first.setdefault(said, (labels, line))
        if other != labels:
            part.add_finding(
                "two_labels",
                line,
                f"has label {tally.names[labels]!r}, and {sections.said(before)} with the same words has "
                f"{tally.names[other]!r}; keep the right one",
            )
