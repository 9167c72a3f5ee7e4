"""Charts of quantities side by side: the memory of GPUs, and the lengths of examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher import units
from launcher.report.curves import (
    is_number,
    short,
)
from launcher.report.facts import RunFacts, at, mapping
from launcher.report.page import Chart, Table
from launcher.run.events.ranks import Measured
from launcher.units import plural


def memory(facts: RunFacts) -> Chart | None:
    """Planned memory of a GPU by kind, and the measured peak of every GPU; on a CPU, the host memory of every rank."""
    measured = facts.last(Measured)
    planned = mapping(facts.plan.get("memory"))
    kinds = {kind: gib for kind, gib in planned.items() if kind != "total" and is_number(gib) and gib > 0}
    peaks = measured.peak_gib_by_rank if measured else None
    on_host = not peaks
    values = list(peaks or (measured.host_gib_by_rank if measured else ()))
    if not kinds and not values:
        return None
    context = measured.context_gib if measured and peaks else None
    shown = _worst(values)
    rows = ([] if not kinds else ["planned"]) + [name for name, _ in shown]
    blank = [None] * len(shown)
    parts: list[dict[str, Any]] = [
        {"name": kind, "values": [short(gib), *blank]} for kind, gib in kinds.items()
    ]
    before = [None] if kinds else []
    if shown:
        label = "measured host memory" if on_host else "measured peak"
        parts.append({"name": label, "values": [*before, *(short(value) for _, value in shown)]})
    if shown and is_number(context):
        parts.append(
            {"name": "measured outside of torch", "values": [*before, *(short(context) for _ in shown)]}
        )
    size = facts.gpu_memory_gib if kinds or not on_host else None
    summary = f"Planned {sum(kinds.values()):.2f} GiB per GPU. " if kinds else ""
    if values and not on_host:
        most = max(values) + (context or 0)
        summary += f"Measured {most:.2f} GiB on the fullest GPU"
        summary += f", {units.percent(most / sum(kinds.values()))} of the plan." if kinds else "."
    elif values:
        summary += (
            f"Measured {max(values):.2f} GiB of host memory for the largest of {plural(len(values), 'rank')}."
        )
    elif kinds:
        summary += "Not measured yet."
    table = Table(
        columns=("", *(part["name"] for part in parts)),
        rows=[(row, *(part["values"][at_row] for part in parts)) for at_row, row in enumerate(rows)],
        note="GiB",
    )
    spec = {"rows": rows, "parts": parts, "unit": "GiB", "limit": size if is_number(size) else None}
    return Chart(id="memory", title="Memory", summary=summary, kind="parts", spec=spec, table=table)


def _worst(values: Sequence[float], most: int = 8) -> list[tuple[str, float]]:
    ranked = sorted(enumerate(values), key=lambda one: -one[1])[:most]
    return [(f"rank {rank}", value) for rank, value in sorted(ranked)]


def lengths(report: Mapping[str, Any], number: int) -> Chart | None:
    """A histogram of the lengths of a data file's examples."""
    histogram = mapping(at(report, "tokens", "histogram"))
    if not histogram:
        return None
    rows, values = list(histogram), list(histogram.values())
    summary = f"{units.number(at(report, 'tokens', 'examples') or sum(values))} examples; "
    summary += f"{units.percent(at(report, 'tokens', 'truncated_share') or 0)} are longer than "
    summary += f"{units.number(at(report, 'tokens', 'max_length') or 0)} tokens and are cut off."
    basis = str(at(report, "tokens", "basis") or "")
    summary += f" Lengths are {basis}." if basis.startswith("estimated") else ""
    return Chart(
        id=f"lengths-{number}",
        title="Length of the examples",
        summary=summary,
        kind="bars",
        spec={"rows": rows, "values": values, "unit": "examples", "name": "tokens", "upright": True},
        table=Table(columns=("tokens", "examples"), rows=list(zip(rows, values, strict=True))),
    )
