"""Preparing a sweep: every trial is planned before anything is written."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from launcher.clusters.registry import find_cluster
from launcher.config import Config, Sampler
from launcher.config.resources import is_auto
from launcher.errors import ConfigError
from launcher.launching.choose_shape import refuse_in_sweep
from launcher.launching.compose import MultirunRequest
from launcher.launching.data_gate import check_data, data_warnings
from launcher.launching.parents import replaceable
from launcher.launching.plan_warnings import evaluation_note, what_it_trains
from launcher.launching.secrets import refuse_secrets, secrets_of
from launcher.launching.write import kept_files
from launcher.output import say, warn
from launcher.plan import LaunchPlan
from launcher.plan.queue import with_notice_of_group
from launcher.run import check_name, now
from launcher.sweep.array import described, script
from launcher.sweep.derive import Deriver
from launcher.sweep.expand import Axis, Value, grid, read_axes, search_lines
from launcher.sweep.folder import SweepDir
from launcher.sweep.plan_trials import Planner, derive_and_plan, plan_trials
from launcher.sweep.settings import check_settings, first_report, is_setting, no_objective, read_settings
from launcher.sweep.together.plan_groups import Member, TrialGroups, plan_groups, wants_groups
from launcher.sweep.trials import Array, PlannedTrial, facts_line, make_arrays, with_longest_notice

WORKERS = 4
"""Number of workers for a sampler if sweep.parallel is not set."""
_MAY_DIFFER = ("created", "request")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSweep:
    """A sweep whose trials are planned; nothing is written yet."""

    sweep: SweepDir
    spec: dict[str, Any]
    trials: list[PlannedTrial]
    """The planned trials; empty if a sampler chooses the values."""
    arrays: list[Array]
    plan: LaunchPlan
    """Plan of the first trial."""
    config: Config
    kept: dict[str, str]
    """Name -> text of the copies of the files given with --config."""
    groups: TrialGroups | None = None
    """Which trials share base models; None without sweep.together."""

    @property
    def texts(self) -> dict[str, str]:
        """Name -> text of all files of the sweep except sweep.json."""
        what = (
            f"All trials: {find_cluster(self.plan.cluster).by_hand(self.arrays[0].script)}; on one machine "
            "`python -m launcher sweep work .`"
        )
        scripts = {array.script: script(self.sweep, array, self.plan, what) for array in self.arrays}
        return {"trials.jsonl": "".join(trial.line() for trial in self.trials), **scripts, **self.kept}


def prepare_sweep(request: MultirunRequest, moment: datetime) -> PreparedSweep:
    """The sweep with all its trials planned; LauncherError names the first invalid trial."""
    settings = read_settings(request)
    overrides = [one for one in request.typed if not is_setting(one)]
    lines = [*search_lines(settings.search, overrides), *overrides]
    parser = OverridesParser.create(config_loader=request.loader)
    axes = read_axes(parser.parse_overrides(lines))
    sampled = settings.sampler is not Sampler.grid
    if sampled:
        axes = [_with_ends(axis, parser) for axis in axes]
        trials = _probes(axes)
    else:
        trials = list(grid(axes))
    deriver = Deriver(request, axes)
    # Every plan contains the folder, whose name is in the configuration of the first trial.
    first, _ = derive_and_plan(deriver, trials[0], Planner(Path("/")), 0)
    config = first.config
    check_settings(settings, config, axes)
    if is_auto(config.resources):
        refuse_in_sweep()
    sweep = _new_folder(Path(config.runs_dir).absolute(), config.name, moment)
    planner = Planner(sweep.path)
    members: list[Member] = []
    planned, plan = plan_trials(deriver, trials, planner, members=members if wants_groups(settings) else None)
    groups = plan_groups(settings, members, sampled=sampled) if members else None
    parallel, cluster = settings.parallel, find_cluster(plan.cluster)
    if groups is not None:
        planned = [dataclasses.replace(one, group=groups.key_of(one.number)) for one in planned]
        parallel = parallel and -(-parallel // groups.size.trials)  # workers, each with as many trials
        plan = with_notice_of_group(config, plan, groups.size.trials)
    planned = with_longest_notice(planned, plan)
    if cluster.queued and not cluster.arrays:
        raise ConfigError(
            f"cluster.kind={cluster.name} has no job arrays, which a sweep needs for its trials; use cluster=local, or start "
            "one run for each value"
        )
    if sampled:
        _check_one_shape(planned, cluster.title)
        at_once = groups.size.trials if groups else 1
        workers = parallel or -(-min(WORKERS, settings.trials or WORKERS) // at_once)
        arrays = make_arrays([(number, planned[0].shape) for number in range(workers)], workers, None)
    else:
        limited = cluster.queued and not config.dry_run
        largest = cluster.largest_array(plan.job_options.get("clusters", "")) if limited else 1 << 30
        queued = groups.tasks([trial.number for trial in planned]) if groups else range(len(planned))
        arrays = make_arrays([(number, planned[number].shape) for number in queued], largest, parallel)
    spec: dict[str, Any] = {
        "created": now(),
        "cluster": cluster.name,
        "objective": settings.objective,
        "direction": settings.direction.name,
        "sampler": settings.sampler.name,
        "pruner": settings.pruner.name,
        "reduction_factor": settings.reduction_factor,
        "budget": {
            "trials": settings.trials, "gpu_hours": settings.gpu_hours, "deadline": settings.deadline,
        },
        "parallel": parallel,
        "fail_fast": settings.fail_fast,
        "together": groups.spec() if groups else None,
        "seed": settings.seed,
        "parameters": [axis.name for axis in axes if axis.swept],
        "space": {axis.name: _space(axis, sampled) for axis in axes if axis.swept},
        "typed": request.typed,
        "fixed": [axis.values[0].line for axis in axes if not axis.swept],
        "hydra": _own_of_hydra(request),
        "config_dir": first.config_dir,
        "work_dir": str(Path.cwd()),
        "first_report": first_report(settings, config),
        "last_report": config.trainer.max_steps if config.trainer.max_steps > 0 else None,
        "facts": [facts_line(facts) for facts in planner.facts],
        "arrays": [described(array) for array in arrays],
        "trials": 0 if sampled else len(planned),
        "dry_run": config.dry_run,
    }  # fmt: skip
    refuse_secrets(repr(spec), secrets_of(os.environ))  # the configurations of trials do not contain hydra.*
    prepared = PreparedSweep(
        sweep=sweep,
        spec=spec,
        trials=[] if sampled else planned,
        arrays=arrays,
        plan=plan,
        config=config,
        kept=kept_files(request.sources),
        groups=groups,
    )
    spec["request"] = _request(prepared)
    for warning in (
        *what_it_trains(config, plan, default_data=first.uses_default_data),
        *replaceable(config),
        *no_objective(settings, config),
        *data_warnings(check_data(config)),
    ):
        warn(warning)
    for note in evaluation_note(first.evaluation_left_out):
        say(note)
    if config.notify:
        say("notify is not used: the trials of a sweep send no messages; sweep status shows how they end")
    return prepared


def _with_ends(axis: Axis, parser: OverridesParser) -> Axis:
    """The axis with the ends of its interval as values, which are planned as a check."""
    if axis.values or axis.interval is None:
        return axis
    numbers = [int(end) if axis.whole else end for end in axis.interval]
    overrides = parser.parse_overrides([f"{axis.key}={number!r}" for number in numbers])
    values = tuple(
        Value(text=repr(number), line=f"{axis.key}={number!r}", override=override)
        for number, override in zip(numbers, overrides, strict=True)
    )
    return dataclasses.replace(axis, values=values)


def _probes(axes: Sequence[Axis]) -> list[tuple[Value, ...]]:
    """The first value of every axis, and each other value once: a check of the space before a sampler chooses values in it."""
    first = tuple(axis.values[0] for axis in axes)
    others = [
        (*first[:at], value, *first[at + 1 :]) for at, axis in enumerate(axes) for value in axis.values[1:]
    ]
    return [first, *others]


def _space(axis: Axis, sampled: bool) -> dict[str, Any]:
    """The axis as JSON values for a study. The values of a grid are choices."""
    if axis.interval is None or not sampled:
        return {"key": axis.key, "choices": [value.text for value in axis.values]}
    low, high = axis.interval
    return {
        "key": axis.key,
        "low": low,
        "high": high,
        "step": axis.step,
        "whole": axis.whole,
        "log": axis.log,
    }


def _check_one_shape(planned: Sequence[PlannedTrial], title: str) -> None:
    for trial in planned[1:]:
        for flag, value in trial.shape.items():
            if planned[0].shape.get(flag) != value:
                shown = " ".join(f"{key}={text}" for key, text in trial.values.items())
                raise ConfigError(
                    f"{shown} needs --{flag}={value} of {title}, but other trials {planned[0].shape.get(flag)}; all workers of "
                    "a sampler have the same job options: search such a key with sweep.sampler=grid"
                )


def _own_of_hydra(request: MultirunRequest) -> list[str]:
    """The typed overrides of Hydra's own configuration, such as a search path."""
    ours = ("hydra.sweep.dir=", "hydra.mode=", "hydra/launcher", "hydra/sweeper")
    return [one for one in request.master.hydra.overrides.hydra if not one.lstrip("+~").startswith(ours)]


def _new_folder(runs_dir: Path, name: str, moment: datetime) -> SweepDir:
    base = runs_dir / check_name(name) / f"sweep_{moment.strftime('%Y-%m-%d_%H-%M-%S')}"
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}_{number}")
    return SweepDir(path)


def _request(prepared: PreparedSweep) -> str:
    """A digest of the request, which is the same if the same sweep is typed again."""
    kept = {key: value for key, value in prepared.spec.items() if key not in _MAY_DIFFER}
    text = json.dumps([kept, prepared.texts]).replace(str(prepared.sweep.path), "SWEEP")
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
