"""The charts of a sweep's page: every trial over the keys, their importance, the order of trials, and learning curves."""

from collections.abc import Sequence
from typing import Any

from launcher.report.charts import lines_chart, series
from launcher.report.curves import short, thin
from launcher.report.importance import LEAST, as_numbers, find_importance, is_log
from launcher.report.page import Chart, Section, Table
from launcher.sweep.outcome import FINISHED, PRUNED
from launcher.sweep.read import Sweep, Trial
from launcher.units import plural

_AXES = 10
"""Most axes of the parallel coordinates; with more they cannot be distinguished."""
_CATEGORIES = 12
"""Most values of a key that are marked one by one on its axis."""
_CURVES, _CURVE_POINTS = 300, 120


def comparison(sweep: Sweep, ranked: Sequence[Trial]) -> Section | None:
    logs = [key for key, one in sweep.space.items() if one.get("log")]
    importance = find_importance(
        sweep.parameters,
        [(trial.overrides, trial.value or 0.0) for trial in ranked],
        sweep.direction,
        logs,
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
    few = len(ranked) < LEAST
    text = (
        f"The importance of each key needs {LEAST} finished trials; there are {len(ranked)}." if few else ""
    )
    return Section(id="comparison", title="Comparison of trials", text=text, charts=shown) if shown else None


def _parallel(sweep: Sweep, ranked: Sequence[Trial], keys: Sequence[str]) -> Chart | None:
    """A chart with a line for every finished trial over an axis for each key and one for the objective."""
    whole = [trial for trial in ranked if all(key in trial.overrides for key in keys)]
    if len(whole) < 2 or not keys:
        return None
    shades, axes, columns = _shades(ranked), list[dict[str, Any]](), list[list[Any]]()
    for key in keys:
        axis, column = _axis(sweep, key, [trial.overrides[key] for trial in whole])
        axes.append(axis)
        columns.append(column)
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


def _axis(sweep: Sweep, key: str, typed: Sequence[str]) -> tuple[dict[str, Any], list[Any]]:
    """A key's axis, and the trials' values on it: the values of a grid one by one, else the scale that was searched."""
    numbers, space = as_numbers(typed), sweep.space.get(key, {})
    distinct = sorted(set(typed), key=None if numbers is None else float)
    if numbers is None or ("choices" in space and len(distinct) <= _CATEGORIES):
        return {"name": key, "type": "category", "categories": distinct}, list(typed)
    log = space["log"] if "log" in space else is_log(numbers)
    return {"name": key, "type": "log" if log else "value"}, [short(value) for value in numbers]


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


def curves(sweep: Sweep, ranked: Sequence[Trial]) -> Section | None:
    """The intermediate values of every trial."""
    shades, sign = _shades(ranked), 1 if sweep.direction == "minimize" else -1
    told = [trial for trial in sweep.trials if trial.intermediate]
    if not told:
        return None
    last = {trial.number: trial.intermediate[max(trial.intermediate)] for trial in told}
    told.sort(
        key=lambda trial: (trial.number not in shades, shades.get(trial.number, 0), sign * last[trial.number])
    )
    shown: list[dict[str, Any]] = []
    for place, trial in enumerate(told[:_CURVES]):
        curve = thin(
            [(float(step), value) for step, value in sorted(trial.intermediate.items())], _CURVE_POINTS
        )
        name = f"trial {trial.number}" + ("" if trial.state == FINISHED else f", {trial.state}")
        shown.append(
            series(
                name, curve, 0, shade=shades.get(trial.number), strong=place == 0 and trial.number in shades
            )
        )
    steps = sum(max(trial.intermediate) for trial in told)
    cut = [trial for trial in told if trial.state == PRUNED]
    text = f"{plural(len(told), 'trial')}, {plural(steps, 'step')} in all"
    text += f"; {plural(len(cut), 'trial')} pruned (grey)." if cut else "."
    text += f" The best {_CURVES} are drawn." if len(told) > _CURVES else ""
    rows = [(trial.number, trial.state, max(trial.intermediate), last[trial.number]) for trial in told]
    chart = lines_chart(
        "curves", f"{sweep.objective} of all trials", text, shown[::-1], ("trial", "state", "last step", sweep.objective), rows,
        x="step", y=sweep.objective, wide=True,
    )  # fmt: skip
    return Section(id="curves", title="Learning curves", charts=[chart])


def _shades(ranked: Sequence[Trial]) -> dict[int, float]:
    """Trial -> shade by rank, from 0 for the best to 1 for the worst."""
    return {trial.number: round(place / max(1, len(ranked) - 1), 3) for place, trial in enumerate(ranked)}
