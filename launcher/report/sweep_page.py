"""Makes the page of a sweep: the best values, the importance of each key, and the result of every trial."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from launcher import units
from launcher.report.charts import lines_chart, series
from launcher.report.curves import short, thin
from launcher.report.importance import as_numbers, find_importance, is_log
from launcher.report.page import BAD, GOOD, PLAIN, WARN, Chart, Notice, Page, Section, Table, Tile
from launcher.run.course import seconds
from launcher.sweep.outcome import CANCELLED, FAILED, FINISHED, PRUNED, RUNNING, STATES, WAITING
from launcher.sweep.read import Sweep, Trial
from launcher.units import plural

_AXES = 10
"""Most axes of the parallel coordinates; with more they cannot be distinguished."""
_CURVES, _CURVE_POINTS = 300, 120
_ERRORS = 6


def make_sweep_page(sweep: Sweep, *, links: Mapping[int, str], written: str, version: str) -> Page:
    """The report of one sweep; `links`: trial -> path of its run dir relative to the page."""
    ranked = _ranked(sweep)
    state, tone = _state(sweep)
    sections = (_winner(sweep), _comparison(sweep, ranked), _curves(sweep, ranked), _trials(sweep, links))
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


def _shades(ranked: Sequence[Trial]) -> dict[int, float]:
    """Trial -> shade by rank, from 0 for the best to 1 for the worst."""
    return {trial.number: round(place / max(1, len(ranked) - 1), 3) for place, trial in enumerate(ranked)}


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
    times = [_took(trial) for trial in sweep.trials]
    known = [took for took in times if took is not None]
    if known:
        began = min(seconds(trial.started) for trial in sweep.trials if trial.started)
        ended = max(seconds(trial.ended) for trial in sweep.trials if trial.ended)
        found.append(
            Tile(
                label="time",
                value=units.elapsed(ended - began),
                note=f"{units.elapsed(sum(known))} of trials",
            )
        )
    return found


def _reason(trial: Trial) -> str | None:
    """The trial's error without its own folder, so that the same error of several trials has the same text."""
    return trial.error.replace(f"{trial.run_dir}/", "") if trial.error else None


def _took(trial: Trial) -> float | None:
    return seconds(trial.ended) - seconds(trial.started) if trial.started and trial.ended else None


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


def _comparison(sweep: Sweep, ranked: Sequence[Trial]) -> Section | None:
    importance = find_importance(
        sweep.parameters, [(trial.overrides, trial.value or 0.0) for trial in ranked], sweep.direction
    )
    keys = list(importance.values) if importance else []
    keys += [key for key in sweep.parameters if key not in keys]
    shown: list[Chart] = []
    parallel = _parallel(sweep, ranked, keys[:_AXES])
    if parallel:
        shown.append(parallel)
    if importance:
        most = next(iter(importance.values))
        shown.append(
            Chart(
                id="importance",
                title="Importance of each key",
                summary=f"{most} was the most important key. Measure: {importance.measure}.",
                kind="bars",
                spec={
                    "rows": list(importance.values),
                    "values": list(importance.values.values()),
                    "unit": "importance",
                },
                table=Table(columns=("key", "importance"), rows=list(importance.values.items())),
            )
        )
    progress = _progress(sweep)
    if progress:
        shown.append(progress)
    return Section(id="comparison", title="Comparison of trials", charts=shown) if shown else None


def _parallel(sweep: Sweep, ranked: Sequence[Trial], keys: Sequence[str]) -> Chart | None:
    """A chart with a line for every finished trial over an axis for each key and one for the objective."""
    whole = [trial for trial in ranked if all(key in trial.overrides for key in keys)]
    if len(whole) < 2 or not keys:
        return None
    shades, axes, columns = _shades(ranked), list[dict[str, Any]](), list[list[Any]]()
    for key in keys:
        typed = [trial.overrides[key] for trial in whole]
        numbers = as_numbers(typed)
        if numbers is None:
            axes.append({"name": key, "type": "category", "categories": sorted(set(typed))})
            columns.append(list(typed))
        else:
            axes.append({"name": key, "type": "log" if is_log(numbers) else "value"})
            columns.append([short(value) for value in numbers])
    better = "lower" if sweep.direction == "minimize" else "higher"
    axes.append({"name": sweep.objective, "type": "value"})
    columns.append([short(trial.value or 0.0) for trial in whole])
    rows = [
        {
            "name": f"trial {trial.number}",
            "values": [column[at] for column in columns],
            "shade": shades[trial.number],
            "best": at == 0,
        }
        for at, trial in enumerate(whole)
    ]
    table = Table(
        columns=("trial", *(axis["name"] for axis in axes)),
        rows=[(trial.number, *(column[at] for column in columns)) for at, trial in enumerate(whole[:40])],
        note="the 40 best" if len(whole) > 40 else "",
    )
    return Chart(
        id="parallel",
        title="Every finished trial",
        summary=f"Each line is a trial, from blue for the best to orange for the worst; the best is bold. {sweep.objective}: "
        f"{better} is better. Drag along an axis to select trials.",
        kind="parallel",
        spec={"axes": axes, "rows": rows[::-1]},
        table=table,
        wide=True,
    )


def _progress(sweep: Sweep) -> Chart | None:
    """A chart with the value of each trial in their order, and the best so far."""
    done = [trial for trial in sweep.trials if trial.state == FINISHED]
    values = [(float(trial.number), trial.value) for trial in done if trial.value is not None]
    if len(values) < 2:
        return None
    better = min if sweep.direction == "minimize" else max
    best, so_far = values[0][1], list[tuple[float, float]]()
    for number, value in values:
        best = better(best, value)
        so_far.append((number, best))
    shown = [series("trial", values, 0, bare=True), series("best so far", so_far, 1, stairs=True)]
    changes = len({value for _, value in so_far})
    return lines_chart(
        "progress", "In the order of trials", f"The best value improved {plural(changes - 1, 'time')}.", shown,
        ("trial", sweep.objective, "best so far"), [(n, v, b) for (n, v), (_, b) in zip(values, so_far, strict=True)],
        x="trial", y=sweep.objective,
    )  # fmt: skip


def _curves(sweep: Sweep, ranked: Sequence[Trial]) -> Section | None:
    """The intermediate values of every trial."""
    shades, sign = _shades(ranked), 1 if sweep.direction == "minimize" else -1
    reported = [trial for trial in sweep.trials if trial.intermediate]
    if not reported:
        return None
    last = {trial.number: trial.intermediate[max(trial.intermediate)] for trial in reported}
    reported.sort(
        key=lambda trial: (trial.number not in shades, shades.get(trial.number, 0), sign * last[trial.number])
    )
    shown: list[dict[str, Any]] = []
    for place, trial in enumerate(reported[:_CURVES]):
        curve = thin(
            [(float(step), value) for step, value in sorted(trial.intermediate.items())], _CURVE_POINTS
        )
        name = f"trial {trial.number}" + ("" if trial.state == FINISHED else f", {trial.state}")
        shown.append(
            series(
                name, curve, 0, shade=shades.get(trial.number), strong=place == 0 and trial.number in shades
            )
        )
    steps = sum(max(trial.intermediate) for trial in reported)
    cut = [trial for trial in reported if trial.state == PRUNED]
    text = f"{plural(len(reported), 'trial')}, {plural(steps, 'step')} in all"
    text += f"; {plural(len(cut), 'trial')} pruned (grey)." if cut else "."
    text += f" The best {_CURVES} are drawn." if len(reported) > _CURVES else ""
    rows = [(trial.number, trial.state, max(trial.intermediate), last[trial.number]) for trial in reported]
    chart = lines_chart(
        "curves", f"{sweep.objective} of all trials", text, shown[::-1], ("trial", "state", "last step", sweep.objective), rows,
        x="step", y=sweep.objective, wide=True,
    )  # fmt: skip
    return Section(id="curves", title="Learning curves", charts=[chart])


def _trials(sweep: Sweep, links: Mapping[int, str]) -> Section | None:
    if not sweep.trials:
        return None
    rows: list[tuple[Any, ...]] = []
    for trial in sweep.trials:
        values = [trial.overrides.get(key) for key in sweep.parameters]
        took = _took(trial)
        steps = max(trial.intermediate) if trial.intermediate else None
        rows.append(
            (
                trial.number,
                trial.state,
                trial.value,
                *(_typed(value) for value in values),
                steps,
                None if took is None else round(took, 1),
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
