"""Composing and planning every trial of a sweep before anything is written. Errors name the trial."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from launcher.config import Config
from launcher.errors import ConfigError, LauncherError
from launcher.hub import HubInputs
from launcher.launching.data_gate import check_data
from launcher.launching.explain import explain, one_line
from launcher.launching.facts import count, gather
from launcher.launching.folder_gate import check_folders
from launcher.launching.hub_gate import check_hub, wanted_of
from launcher.launching.machine_gate import check_machine
from launcher.launching.model_files import check_model_files
from launcher.launching.package_gate import check_packages
from launcher.launching.place_gate import check_place, check_plugins
from launcher.launching.push_target import check_push
from launcher.launching.secrets import refuse_secrets, secrets_of
from launcher.output import say, warn
from launcher.plan import Facts, LaunchPlan, check_fits, close_call
from launcher.plugins.base import Plugin, make_plugins
from launcher.plugins.decide import decide
from launcher.sweep.derive import Derived, Deriver
from launcher.sweep.expand import Axis, Value
from launcher.sweep.folder import SweepDir
from launcher.sweep.together.plan_groups import Member, member
from launcher.sweep.trials import PlannedTrial, digest, shape

# Keys of trainer that do not change the facts about machine and data; all other keys may change them.
_INERT = frozenset(
    """learning_rate num_train_epochs max_steps lr_scheduler_type warmup_steps weight_decay max_grad_norm loss_spike optim
    logging_steps eval_steps sample_prompt""".split()  # noqa: SIM905
)
_FREE = frozenset(["seed", "batch", "plugins", "strategy", "trainer", "sweep"])
"""Top-level keys that do not change them either; the keys of trainer are checked one by one."""


class Planner:
    """Plans trials. It gathers the facts about machine and data only once for all trials that share them."""

    def __init__(self, folder: Path, known: Sequence[Facts] = ()) -> None:
        self.sweep = SweepDir(folder)
        self.facts: list[Facts] = [*known]
        """All facts so far, without the run dirs of trials."""
        self._seen: dict[object, int] = {}
        self._kept: list[Config] = []
        self._plugins: dict[str, list[Plugin]] = {}
        self._secrets = secrets_of(os.environ)
        self._warned: set[str] = set()

    def plan(self, config: Config, experiment: str | None, number: int) -> tuple[LaunchPlan, int]:
        """The plan of a trial, and the index of the facts used; LauncherError for every mistake that is already known."""
        refuse_secrets(repr(config), self._secrets)
        check_push(config, trial=True)
        run_dir = str(self.sweep.trial(number).path)
        at = self._facts(config, experiment, number)
        named = repr(config.plugins)
        if named not in self._plugins:
            plugins = make_plugins(config.plugins)
            check_plugins(config, self.facts[at], plugins)
            self._plugins[named] = plugins
        plan = decide(config, dataclasses.replace(self.facts[at], run_dir=run_dir), self._plugins[named])
        check_fits(config, plan)
        if (warning := close_call(config, plan)) and warning not in self._warned:
            self._warned.add(warning)
            warn(f"trial {number}: {warning}")
        return plan, at

    def _facts(self, config: Config, experiment: str | None, number: int) -> int:
        """The index of the trial's facts. Parts that derived configurations share are compared by identity, which is fast."""
        quick = (experiment, *_identities(config))
        if quick not in self._seen:
            self._kept.append(
                config
            )  # keeps these objects alive, so that no other object gets the same identity
            key = f"{experiment} {_outside(config)}"
            if key not in self._seen:
                facts = gather(config, experiment, self.sweep.trial(number))
                check_folders(config, facts)
                check_model_files(config)
                check_machine(config, facts)
                check_place(config, facts, decide(config, facts))
                self._seen[key] = self._index(count(config, facts, check_data(config)))
            self._seen[quick] = self._seen[key]
        return self._seen[quick]

    def _index(self, facts: Facts) -> int:
        common = dataclasses.replace(facts, run_dir="")
        if common not in self.facts:
            self.facts.append(common)
        return self.facts.index(common)


def plan_trials(
    deriver: Deriver,
    trials: Sequence[Sequence[Value]],
    planner: Planner,
    begin: int = 0,
    members: list[Member] | None = None,
) -> tuple[list[PlannedTrial], LaunchPlan]:
    """All trials, numbered from `begin`, and the plan of the first. The hub is queried once for each model and data set.

    `members` gets where each trial belongs, if trials are to share base models.
    """
    planned: list[PlannedTrial] = []
    first: LaunchPlan | None = None
    looked_for: set[tuple[str, ...]] = set()
    reading: dict[HubInputs | None, tuple[int, Config, LaunchPlan]] = {}
    for number, values in enumerate(trials, begin):
        derived, (plan, at) = derive_and_plan(deriver, values, planner, number)
        first = first or plan
        _check_packages_once(derived.config, plan, looked_for)
        reading.setdefault(wanted_of(derived.config, plan), (number, derived.config, plan))
        if members is not None:
            members.append(member(number, derived.config, plan))
        planned.append(
            PlannedTrial(
                number=number,
                values=swept(deriver.axes, values),
                typed=[value.line for value in values],
                facts=at,
                digest=digest(derived.config, plan, planner.sweep.path),
                shape=shape(plan),
            )
        )
    if first is None:
        raise ConfigError("the sweep has no trial; give at least one value for each key")
    for number, config, plan in reading.values():
        try:
            check_hub(config, plan)
        except LauncherError as error:
            raise type(error)(f"{_which(deriver.axes, trials[number - begin], number)}{error}") from None
    for note in deriver.notes:
        say(note)
    return planned, first


def _check_packages_once(config: Config, plan: LaunchPlan, looked_for: set[tuple[str, ...]]) -> None:
    """ConfigError from check_packages; trials that need the same packages are checked once."""
    needs = (config.tracker.kind, str(config.model.attn_implementation), *config.plugins)
    if needs not in looked_for:
        looked_for.add(needs)
        check_packages(config, plan)


def derive_and_plan(
    deriver: Deriver, values: Sequence[Value], planner: Planner, number: int
) -> tuple[Derived, tuple[LaunchPlan, int]]:
    """Configuration and plan of one trial, and the index of its facts. Every error names the trial."""
    typed = [value.line for value in values]
    try:
        derived = deriver.derive(values, number)
        return derived, planner.plan(derived.config, derived.experiment, number)
    except LauncherError as error:
        raise type(error)(f"{_which(deriver.axes, values, number)}{error}") from None
    except (HydraException, OmegaConfBaseException, AssertionError, ValueError) as error:
        reason = one_line(explain(error, typed))
        raise ConfigError(f"{_which(deriver.axes, values, number)}{reason}") from None


def swept(axes: Sequence[Axis], values: Sequence[Value]) -> dict[str, str]:
    """The swept keys with the values of one trial, as typed on a command line."""
    return {axis.name: value.text for axis, value in zip(axes, values, strict=True) if axis.swept}


def _which(axes: Sequence[Axis], values: Sequence[Value], number: int) -> str:
    shown = " ".join(f"{key}={text}" for key, text in swept(axes, values).items())
    return f"trial {number} ({shown}): " if shown else ""


def _identities(config: Config) -> list[object]:
    """The same parts as in _outside, by object identity: different objects differ even if they are equal."""
    parts = [value for key, value in vars(config).items() if key not in _FREE]
    trainer = [value for key, value in vars(config.trainer).items() if key not in _INERT]
    return [value if isinstance(value, str | bool) else id(value) for value in (*parts, *trainer)]


def _outside(config: Config) -> str:
    """The parts of a configuration that can change the facts, as text."""
    rest: Mapping[str, object] = {key: value for key, value in vars(config).items() if key not in _FREE}
    trainer: Mapping[str, object] = {
        key: value for key, value in vars(config.trainer).items() if key not in _INERT
    }
    return f"{rest!r} {trainer!r}"
