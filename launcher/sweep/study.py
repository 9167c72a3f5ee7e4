"""Optuna's study in the folder of a sweep: it chooses values for new trials and prunes bad ones. Only workers import Optuna.

The study is a journal file whose lock is a symbolic link, which is safe if several hosts share a file system without flock.
Source: optuna's JournalFileBackend and JournalFileSymlinkLock.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from launcher.config import Pruner, Sampler
from launcher.errors import ConfigError
from launcher.sweep.folder import SweepDir

_NEEDS = {Sampler.cmaes: "cmaes", Sampler.qmc: "scipy"}
_SLOT, _NUMBER_OF_STARTUP = "slot", 10


def check_installed(sampler: Sampler, pruner: Pruner) -> None:
    """ConfigError if a package is missing. It imports none of them."""
    if sampler is Sampler.grid and pruner is Pruner.none:
        return
    for package in ("optuna", *([_NEEDS[sampler]] if sampler in _NEEDS else [])):
        if find_spec(package) is None:
            raise ConfigError(
                f"sweep.sampler={sampler.name} and sweep.pruner={pruner.name} need {package}; "
                "pip install optuna cmaes scipy, or use sweep.sampler=grid sweep.pruner=none"
            )


class Study:
    """One worker's view of the study."""

    def __init__(self, sweep: SweepDir, spec: Mapping[str, Any], seed: int) -> None:
        """`seed` must differ between workers and between their starts, because equal seeds choose the same values."""
        import optuna
        import optuna.storages.journal

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        backend = optuna.storages.journal.JournalFileBackend(
            str(sweep.study), optuna.storages.journal.JournalFileSymlinkLock(str(sweep.study))
        )
        self._optuna: Any = optuna
        self._storage: Any = optuna.storages.JournalStorage(backend)
        self.study: Any = optuna.create_study(
            study_name="sweep",
            storage=self._storage,
            direction=spec["direction"],
            sampler=_sampler(optuna, Sampler[spec["sampler"]], seed),
            pruner=_pruner(optuna, spec),
            load_if_exists=True,
        )
        self._space: dict[str, Any] = {key: _distribution(optuna, one) for key, one in spec["space"].items()}

    def ask(self, slot: int) -> dict[str, Any]:
        """The values of the study's running trial for this slot; the trial is created if there is none."""
        found = self.of_slot(slot)
        if found is None:
            found = self.study.ask(self._space)
            found.set_user_attr(_SLOT, slot)
        return dict(found.params)

    def enrol(self, slot: int, values: Mapping[str, Any]) -> Any:
        """The study's trial for a trial whose values are already chosen."""
        found = self.of_slot(slot)
        if found is not None:
            return found
        template = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=dict(values),
            distributions={key: self._space[key] for key in values},
            user_attrs={_SLOT: slot},
        )
        return self._trial(self._storage.create_new_trial(self.study._study_id, template_trial=template))

    def of_slot(self, slot: int) -> Any | None:
        """The study's newest running trial for this trial of the sweep; None if there is none."""
        running = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.RUNNING,))
        for frozen in reversed(running):
            if frozen.user_attrs.get(_SLOT) == slot:
                return self._trial(frozen._trial_id)
        return None

    def should_prune(self, trial: Any, reports: Mapping[int, float]) -> bool:
        """Whether to prune the trial, after its new reports are added to the study."""
        known = self._storage.get_trial(trial._trial_id).intermediate_values
        pruned = False
        for step, value in sorted(reports.items()):
            if step not in known:
                trial.report(value, step)
                pruned = trial.should_prune() or pruned
        return pruned

    def tell(self, slot: int, outcome: Mapping[str, Any]) -> None:
        """Tells the study how a trial ended; does nothing if the study knows it already or does not have the trial."""
        trial = self.of_slot(slot)
        if trial is None:
            return
        states = self._optuna.trial.TrialState
        reported = {int(step): value for step, value in outcome["intermediate"].items()}
        if outcome["state"] == "pruned" and reported:
            known = self._storage.get_trial(trial._trial_id).intermediate_values
            for step in sorted(set(reported) - set(known)):
                trial.report(reported[step], step)
            self.study.tell(trial, state=states.PRUNED, skip_if_finished=True)
        elif outcome["state"] == "finished" and outcome["value"] is not None:
            self.study.tell(trial, outcome["value"], skip_if_finished=True)
        else:
            self.study.tell(trial, state=states.FAIL, skip_if_finished=True)

    def _trial(self, trial_id: int) -> Any:
        return self._optuna.trial.Trial(self.study, trial_id)


def _sampler(optuna: Any, kind: Sampler, seed: int) -> Any:
    samplers = optuna.samplers
    if kind is Sampler.tpe:
        # constant_liar: a running trial counts as a bad one, so that workers do not all try the same region
        return samplers.TPESampler(
            seed=seed, constant_liar=True, multivariate=True, n_startup_trials=_NUMBER_OF_STARTUP
        )
    if kind is Sampler.cmaes:
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if kind is Sampler.qmc:
        # all workers share one sequence and therefore one seed; the study distributes its points
        return samplers.QMCSampler(seed=0, scramble=True, warn_independent_sampling=False)
    return samplers.RandomSampler(seed=seed)


def _pruner(optuna: Any, spec: Mapping[str, Any]) -> Any:
    kind, factor, first = Pruner[spec["pruner"]], int(spec["reduction_factor"]), spec["first_report"]
    if kind is Pruner.asha:
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first or "auto", reduction_factor=factor)
    if kind is Pruner.hyperband:
        return optuna.pruners.HyperbandPruner(
            min_resource=first or 1, max_resource=spec["last_report"] or "auto", reduction_factor=factor
        )
    if kind is Pruner.median:
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3)
    return optuna.pruners.NopPruner()


def _distribution(optuna: Any, one: Mapping[str, Any]) -> Any:
    distributions = optuna.distributions
    if "choices" in one:
        return distributions.CategoricalDistribution(one["choices"])
    step = one["step"]
    if one["whole"]:
        return distributions.IntDistribution(
            int(one["low"]), int(one["high"]), log=one["log"], step=int(step or 1)
        )
    return distributions.FloatDistribution(one["low"], one["high"], log=one["log"], step=step)


def as_typed(value: Any) -> str:
    """The value as typed on a command line; a choice already has that form."""
    return value if isinstance(value, str) else repr(value)
