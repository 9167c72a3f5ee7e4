"""Makes the page of a sweep: the best values, the importance of each key, and the result of every trial."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from launcher import units
from launcher.report.importance import as_numbers
from launcher.report.page import BAD, GOOD, PLAIN, WARN, Notice, Page, Section, Table, Tile
from launcher.report.sweep_charts import comparison, curves
from launcher.run.course import seconds
from launcher.sweep.outcome import CANCELLED, FAILED, FINISHED, RUNNING, STATES, WAITING
from launcher.sweep.read import Sweep, Trial
from launcher.units import plural

_ERRORS = 6


def make_sweep_page(sweep: Sweep, *, links: Mapping[int, str], written: str, version: str) -> Page:
    """The report of one sweep; `links`: trial -> path of its run dir relative to the page."""
    ranked = _ranked(sweep)
    state, tone = _state(sweep)
    sections = (_winner(sweep), comparison(sweep, ranked), curves(sweep, ranked), _trials(sweep, links))
    return Page(
        kind="sweep",
        name=sweep.name,
        subtitle=f"{plural(len(sweep.trials), 'trial')} · {sweep.direction} {sweep.objective} · "
        f"sampler {sweep.sampler}, pruner {sweep.pruner}",
        state=state,
        tone=tone,
        written=written,
        version=version,
        notices=_notices(sweep),
        tiles=_tiles(sweep),
        facts=[
            ("objective", f"{sweep.direction} {sweep.objective}"),
            ("swept", ", ".join(sweep.parameters)),
            ("sampler", sweep.sampler),
            ("pruner", sweep.pruner),
            ("folder", str(sweep.path)),
        ],
        sections=[section for section in sections if section],
    )


def _state(sweep: Sweep) -> tuple[str, str]:
    if sweep.count(RUNNING) or sweep.count(WAITING):
        return (RUNNING if sweep.count(RUNNING) else WAITING), PLAIN
    if not sweep.count(FINISHED):
        return (FAILED, BAD) if sweep.count(FAILED) else (CANCELLED, WARN)
    return FINISHED, WARN if sweep.count(FAILED) else GOOD


def _ranked(sweep: Sweep) -> list[Trial]:
    """Finished trials with a value, best first."""
    sign = 1 if sweep.direction == "minimize" else -1
    done = [trial for trial in sweep.trials if trial.state == FINISHED and trial.value is not None]
    return sorted(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def _notices(sweep: Sweep) -> list[Notice]:
    failed = [trial for trial in sweep.trials if trial.state == FAILED]
    if not failed:
        return []
    reasons = {trial.number: _reason(trial) or "no reason was recorded" for trial in failed}
    errors = Counter(reasons.values())
    first = {error: number for number, error in reversed(reasons.items())}
    items = [
        f"trial {first[error]}{f' and {count - 1} more' if count > 1 else ''}: {error}"
        for error, count in errors.most_common(_ERRORS)
    ]
    tone = BAD if not sweep.count(FINISHED) else WARN
    return [
        Notice(
            tone=tone,
            title=f"{plural(len(failed), 'trial')} failed",
            text="The other trials continued.",
            items=items,
        )
    ]


def _tiles(sweep: Sweep) -> list[Tile]:
    best = sweep.best
    found: list[Tile] = []
    if best is not None and best.value is not None:
        found.append(
            Tile(
                label=f"best {sweep.objective}",
                value=f"{best.value:.5g}",
                note=f"trial {best.number}",
                tone=GOOD,
            )
        )
    found.append(Tile(label="trials", value=f"{len(sweep.trials):,}"))
    tones = {FINISHED: PLAIN, FAILED: BAD}
    found += [
        Tile(label=state, value=f"{count:,}", tone=tones.get(state, PLAIN))
        for state in STATES
        if (count := sweep.count(state))
    ]
    known = [trial.held_s for trial in sweep.trials if trial.held_s is not None]
    over = [trial for trial in sweep.trials if trial.started and trial.ended]
    if known and over:
        began = min(seconds(trial.started) for trial in over if trial.started)
        ended = max(seconds(trial.ended) for trial in over if trial.ended)
        found.append(
            Tile(
                label="time of trials",
                value=units.elapsed(sum(known)),
                note=f"within {units.elapsed(ended - began)}, waiting included",
            )
        )
    return found


def _reason(trial: Trial) -> str | None:
    """The trial's error without its own folder, so that the same error of several trials has the same text."""
    return trial.error.replace(f"{trial.run_dir}/", "") if trial.error else None


def _winner(sweep: Sweep) -> Section | None:
    best = sweep.best
    if best is None:
        return None
    lines = [("trial", str(best.number)), (sweep.objective, f"{best.value:.6g}")]
    lines += [(key, value) for key, value in best.overrides.items()]
    lines.append(("as an experiment", f"python -m launcher sweep best {sweep.name}"))
    if best.run_dir:
        lines.append(("run dir", str(best.run_dir)))
    return Section(id="best", title="The best trial", facts=lines)


def _trials(sweep: Sweep, links: Mapping[int, str]) -> Section | None:
    if not sweep.trials:
        return None
    rows: list[tuple[Any, ...]] = []
    for trial in sweep.trials:
        values = [trial.overrides.get(key) for key in sweep.parameters]
        steps = max(trial.intermediate) if trial.intermediate else None
        rows.append(
            (
                trial.number,
                trial.state,
                trial.value,
                *(_typed(value) for value in values),
                steps,
                None if trial.held_s is None else round(trial.held_s, 1),
                _reason(trial),
            )
        )
    columns = ("trial", "state", sweep.objective, *sweep.parameters, "steps", "time, s", "first error")
    found = {row: links[trial.number] for row, trial in enumerate(sweep.trials) if trial.number in links}
    table = Table(
        columns=columns, rows=rows, links=found, sortable=True, note="click a column's name to sort"
    )
    return Section(id="trials", title="All trials", tables=[("Trials", table)])


def _typed(value: str | None) -> Any:
    """The text as a number if it is one, so that it is sorted by its value."""
    numbers = None if value is None else as_numbers([value])
    return numbers[0] if numbers else value
