"""How important each swept key was for the objective of a sweep."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENOUGH = 16
"""Minimum number of finished trials for PED-ANOVA, whose density estimates need enough samples."""
LEAST = 8
"""Minimum number of finished trials: ranks of fewer correlate by chance."""
_TOP = 5
"""Minimum number of trials in PED-ANOVA's top group."""
_LOG_FROM = 10.0
"""Ratio of the largest to the smallest value from which a positive key is on a logarithmic scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Key -> importance, most important first, and the name of the measure."""

    values: Mapping[str, float]
    measure: str


def as_numbers(values: Sequence[str]) -> list[float] | None:
    """The values of a key as numbers; None if one of them is not a finite number, so that the key is categorical."""
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if all(np.isfinite(found)) else None


def is_log(numbers: Sequence[float]) -> bool:
    """Whether the numbers spread so far that a logarithmic scale is best."""
    return min(numbers) > 0 and max(numbers) / min(numbers) >= _LOG_FROM


def find_importance(
    parameters: Sequence[str],
    trials: Sequence[tuple[Mapping[str, str], float]],
    direction: str,
    log_keys: Sequence[str] = (),
) -> Importance | None:
    """Importance by PED-ANOVA if Optuna is installed and 16 or more trials have finished, else by rank correlation.

    None for fewer than LEAST trials. `trials`: (key -> value as typed, objective). `log_keys`: those searched on a logarithmic
    scale. Keys with only one value, or that a trial lacks, are left out.
    Source: Watanabe et al., PED-ANOVA (IJCAI 2023, arXiv 2304.10255).
    """
    varied = [
        key
        for key in parameters
        if all(key in values for values, _ in trials) and len({values[key] for values, _ in trials}) > 1
    ]
    if len(trials) < LEAST or not varied or len({value for _, value in trials}) < 2:
        return None
    if len(trials) >= _ENOUGH and importlib.util.find_spec("optuna"):
        found = _ped_anova(varied, trials, direction, log_keys)
        measure = "PED-ANOVA (Optuna): how much each key distinguishes the best trials from all"
    else:
        objective = [value for _, value in trials]
        found = {key: _correlation([values[key] for values, _ in trials], objective) for key in varied}
        measure = "rank correlation with the objective, from 0 to 1 (Spearman's; for categories the correlation ratio of ranks)"
    ranked = sorted(found.items(), key=lambda one: -one[1])
    return Importance(values={key: round(value, 4) for key, value in ranked}, measure=measure)


def _ped_anova(
    keys: Sequence[str],
    trials: Sequence[tuple[Mapping[str, str], float]],
    direction: str,
    log_keys: Sequence[str],
) -> dict[str, float]:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, BaseDistribution] = {}
    columns: dict[str, list[Any]] = {}
    for key in keys:
        typed = [values[key] for values, _ in trials]
        numbers = as_numbers(typed)
        if numbers is None:
            distributions[key], columns[key] = CategoricalDistribution(sorted(set(typed))), list(typed)
        else:
            distributions[key] = FloatDistribution(
                min(numbers), max(numbers), log=key in log_keys or is_log(numbers)
            )
            columns[key] = list(numbers)
    study = optuna.create_study(direction="minimize" if direction == "minimize" else "maximize")
    for row, (_, value) in enumerate(trials):
        params = {key: column[row] for key, column in columns.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, _TOP / len(trials)))
    return {key: float(value) for key, value in get_param_importances(study, evaluator=evaluator).items()}


def _correlation(typed: Sequence[str], objective: Sequence[float]) -> float:
    numbers, ranks = as_numbers(typed), _ranks(objective)
    if numbers is not None:
        mine, other = _ranks(numbers) - _ranks(numbers).mean(), ranks - ranks.mean()
        return float(abs((mine * other).sum()) / np.sqrt((mine**2).sum() * (other**2).sum()))
    groups = [ranks[[at for at, value in enumerate(typed) if value == choice]] for choice in set(typed)]
    between = sum(len(group) * (group.mean() - ranks.mean()) ** 2 for group in groups)
    return float(np.sqrt(between / ((ranks - ranks.mean()) ** 2).sum()))


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """The ranks of the values; equal values get the mean of their ranks."""
    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
