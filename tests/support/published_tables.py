"""The tables and the summary of published memory figures: docs/measured/published_memory.md, `python -m tests.published`."""

import statistics
from collections.abc import Sequence

from tests.support.peers import PEERS
from tests.support.published import LIMITS, PEAKS, TOLERANCE, Published

COUNTED = {
    "allocated": "tensors", "reserved": "what the allocator held", "whole": "the whole GPU",
}  # fmt: skip
SCORED = tuple(one for one in PEAKS if not one.apart)
"""Peaks that a plan can say."""
APART = tuple(one for one in PEAKS if one.apart)
"""Peaks that no plan can say, for the reason that they name."""


def table() -> str:
    """The Markdown tables of docs/measured/published_memory.md: one line for each source, what peers do otherwise, peaks, and
    limits."""
    parts = [
        _by_source(), f"## What the trainers do otherwise\n\n{_kinds()}", f"## Peaks\n\n{_rows(SCORED)}",
        f"## Peaks apart\n\n{_rows(APART)}", f"## Limits\n\n{_rows(LIMITS)}",
    ]  # fmt: skip
    return "\n\n".join(parts)


def _by_source() -> str:
    lines = [
        "| peaks of | what they count | number | within 10 % | median error | median off "
        "| with known differences: within 10 % | median error | worst |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for source, counts in dict.fromkeys((one.source, one.counts) for one in PEAKS):
        found = [one for one in PEAKS if (one.source, one.counts) == (source, counts)]
        offs, known = [one.off or 0 for one in found], [abs(one.known_off or 0) for one in found]
        apart = ", apart" if found[0].apart else ""
        lines.append(
            f"| {source} | {COUNTED[counts]}{apart} | {len(found)} | {sum(one.agrees(one.planned) for one in found)} | "
            f"{statistics.median(map(abs, offs)):.1%} | {statistics.median(offs):+.1%} | "
            f"{sum(one.agrees(one.known) for one in found)} | {statistics.median(known):.1%} | {max(known):.0%} |"
        )
    return "\n".join(lines)


def _kinds() -> str:
    every = (*PEAKS, *LIMITS)
    lines = ["| name | what it does, and where that is seen | figures |", "|---|---|---|"]
    lines += [
        f"| {name} | {kind.text} | {sum(kind in one.peers for one in every)} |"
        for name, kind in PEERS.items()
    ]
    return "\n".join(lines)


def _rows(figures: Sequence[Published]) -> str:
    lines = [
        "| source | row | published | planner | off | with known differences | off | taken where not said | cause of a miss |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in figures:
        told = {"": f"{one.gib:.1f} GiB", "fits": f"fits {one.gib:.3g} GiB"}.get(
            one.limit, f"out of memory at {one.gib:.1f} GiB"
        )
        known = f"{one.known:.1f} GiB | {_verdict(one, one.known)}" if one.peers else " | "
        missed = not one.agrees(one.known)
        cause = (one.apart or one.cause or "not known") if missed else ""
        lines.append(
            f"| {one.source} | {one.row} | {told} | {one.planned:.1f} GiB | {_verdict(one, one.planned)} | {known} | "
            f"{one.taken} | {cause} |"
        )
    return "\n".join(lines)


def _verdict(one: Published, gib: float) -> str:
    """How far off it is, or on which side of a limit."""
    off = "" if one.limit else f"{gib / one.gib - 1:+.0%}"
    if one.agrees(gib):
        return off or "agrees"
    return f"{off} **false fit**" if one.false_fit(gib) else f"{off} **miss**"


def summary() -> str:
    """How many peaks and limits agree, the median and the worst error, and the false fits: by the plan as it is, and with what
    the trainers are known to do otherwise; and of those apart."""
    return "\n\n".join(
        [
            f"The plan as it is: {_score(PEAKS, known=False)} {_limits(known=False)}",
            f"With what the trainers are known to do otherwise, without the {len(APART)} apart: {_score(SCORED, known=True)} "
            f"{_limits(known=True)}",
            f"Apart ({', '.join(dict.fromkeys(one.apart for one in APART))}): {_score(APART, known=False)}",
        ]
    )


def _score(figures: Sequence[Published], *, known: bool) -> str:
    gibs = [(one, one.known if known else one.planned) for one in figures]
    offs = sorted((abs(gib / one.gib - 1), one.row) for one, gib in gibs)
    low = sum(gib < one.gib * (1 - TOLERANCE) for one, gib in gibs)
    return (
        f"peaks: {sum(one.agrees(gib) for one, gib in gibs)} of {len(figures)} within {TOLERANCE:.0%}, {low} too low by more; "
        f"off by {statistics.median(off for off, _ in offs):.1%} in the median and {offs[-1][0]:.1%} at worst ({offs[-1][1]})."
    )


def _limits(*, known: bool) -> str:
    gibs = [(one, one.known if known else one.planned) for one in LIMITS]
    false = sum(one.false_fit(gib) for one, gib in gibs)
    right = sum(one.agrees(gib) for one, gib in gibs)
    return f'Limits: {right} of {len(LIMITS)} on the right side; {false} of them a false "fits".'
