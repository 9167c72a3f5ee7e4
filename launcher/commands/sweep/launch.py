"""python -m launcher -m ...: every trial planned, one folder written, one array submitted; or the trials run here."""

import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from launcher.clusters.slurm import Refused, Slurm
from launcher.commands.compose import Asked
from launcher.commands.data.gate import check_data, print_warnings
from launcher.commands.sweep.derive import Deriver
from launcher.commands.sweep.local import run_here
from launcher.commands.sweep.plan import Planner, derive_and_plan, plan_trials
from launcher.config import Config, Pruner, Sampler, SweepConfig
from launcher.errors import ConfigError, Exit, RunError
from launcher.plan import LaunchPlan
from launcher.run import check_name, now, write_text
from launcher.sweep.array import cut_short, described, note_told, script, submit, written
from launcher.sweep.budget import check_deadline
from launcher.sweep.expand import Axis, Value, grid, read_axes, search_lines
from launcher.sweep.folder import SweepDir
from launcher.sweep.study import check_installed
from launcher.sweep.trials import Array, Planned, facts_line, make_arrays, shape

WORKERS = 4
"""Of a sampler, where sweep.parallel does not say."""
_MAY_DIFFER = ("created", "request")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A sweep whose trials are planned; nothing is written yet."""

    sweep: SweepDir
    spec: dict[str, Any]
    trials: list[Planned]
    """Empty where a sampler chooses the values."""
    arrays: list[Array]
    plan: LaunchPlan
    """Of the first trial."""
    config: Config

    @property
    def texts(self) -> dict[str, str]:
        """The files of the sweep, but for sweep.json."""
        what = (
            f"All trials: `sbatch {self.arrays[0].script}`; on one machine `python -m launcher sweep work .`"
        )
        scripts = {array.script: script(self.sweep, array, self.plan, what) for array in self.arrays}
        return {"trials.jsonl": "".join(trial.line() for trial in self.trials), **scripts}


def launch_sweep(asked: Asked, as_json: bool) -> int:
    """The exit code: 0 once everything is queued; where the trials run here, 0 when all went well."""
    prepared = prepare_sweep(asked, datetime.now())
    if prepared.config.dry_run:
        write(prepared)
        tell(prepared, [], as_json)
        return Exit.OK
    if prepared.spec["cluster"] != "slurm":
        write(prepared)
        tell(prepared, [], as_json)
        return run_here(prepared.sweep, quiet=as_json)
    slurm = Slurm()
    with cut_short(prepared.sweep.path.parent, prepared.spec["request"]) as cut:
        if cut is not None:
            print(
                f"launcher: goes on with {cut.name}, whose submit was cut short", file=sys.stderr, flush=True
            )
            prepared = dataclasses.replace(prepared, sweep=cut)
            tell(prepared, submit(cut, slurm), as_json)
            note_told(cut)
            return Exit.OK
    prepared = write_files(prepared)
    with written(prepared.sweep, prepared.spec):
        try:
            job_ids = submit(prepared.sweep, slurm)
        except Refused:
            if not prepared.sweep.jobs.exists():
                shutil.rmtree(prepared.sweep.path)  # nothing of it is queued
            raise
        tell(prepared, job_ids, as_json)
        note_told(prepared.sweep)
    return Exit.OK


def prepare_sweep(asked: Asked, moment: datetime) -> Prepared:
    """The sweep with all its trials planned; LauncherError that names the first bad one."""
    settings = read_settings(asked)
    overrides = [one for one in asked.typed if not _is_setting(one)]
    lines = [*search_lines(settings.search, overrides), *overrides]
    parser = OverridesParser.create(config_loader=asked.loader)
    axes = read_axes(parser.parse_overrides(lines))
    sampled = settings.sampler is not Sampler.grid
    if sampled:
        axes = [_with_ends(axis, parser) for axis in axes]
        trials = _probes(axes)
    else:
        trials = list(grid(axes))
    deriver = Deriver(asked, axes)
    # The folder stands in every plan, and its name in the first trial's configuration.
    first, _ = derive_and_plan(deriver, trials[0], Planner(Path("/")), 0)
    config = first.config
    _check(settings, config, axes)
    sweep = _new_folder(Path(config.runs_dir).absolute(), config.name, moment)
    planner = Planner(sweep.path)
    planned, plan = plan_trials(deriver, trials, planner)
    print_warnings(check_data(config))
    parallel, cluster = settings.parallel, plan.facts.cluster
    if sampled:
        _check_one_shape(planned)
        workers = parallel or min(WORKERS, settings.trials or WORKERS)
        arrays = make_arrays([(number, shape(plan)) for number in range(workers)], workers, None)
    else:
        largest = Slurm().largest_array() if cluster == "slurm" and not config.dry_run else 1 << 30
        arrays = make_arrays([(trial.number, trial.shape) for trial in planned], largest, parallel)
    spec: dict[str, Any] = {
        "created": now(),
        "cluster": cluster,
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
        "seed": settings.seed,
        "parameters": [axis.name for axis in axes if axis.swept],
        "space": {axis.name: _space(axis, sampled) for axis in axes if axis.swept},
        "typed": asked.typed,
        "fixed": [axis.values[0].line for axis in axes if not axis.swept],
        "hydra": _own_of_hydra(asked),
        "config_dir": first.config_dir,
        "work_dir": str(Path.cwd()),
        "first_report": _first_report(settings, config),
        "last_report": config.trainer.max_steps if config.trainer.max_steps > 0 else None,
        "facts": [facts_line(facts) for facts in planner.facts],
        "arrays": [described(array) for array in arrays],
        "trials": 0 if sampled else len(planned),
        "dry_run": config.dry_run,
    }  # fmt: skip
    prepared = Prepared(
        sweep=sweep, spec=spec, trials=[] if sampled else planned, arrays=arrays, plan=plan, config=config
    )
    spec["request"] = _request(prepared)
    return prepared


def read_settings(asked: Asked) -> SweepConfig:
    """What is asked of the sweep itself."""
    settings = OmegaConf.to_object(asked.master.sweep)
    assert isinstance(settings, SweepConfig)
    return settings


def write_files(prepared: Prepared) -> Prepared:
    """Makes the folder, under another name where it is there by now, with every file but sweep.json."""
    sweep, number = prepared.sweep, 1
    while True:
        try:
            sweep.path.mkdir(parents=True)
            break
        except FileExistsError:
            if not sweep.path.is_dir():
                raise _no_folder(prepared, "a file is in its place") from None
            number += 1
            sweep = SweepDir(prepared.sweep.path.with_name(f"{prepared.sweep.path.name}_{number}"))
        except OSError as error:
            raise _no_folder(prepared, str(error.strerror)) from None
    for folder in (sweep.as_run.logs, sweep.claims, sweep.outcomes):
        folder.mkdir()
    for name, text in prepared.texts.items():
        write_text(sweep.path / name, text.replace(str(prepared.sweep.path), str(sweep.path)))
    return dataclasses.replace(prepared, sweep=sweep)


def write(prepared: Prepared) -> None:
    """The whole folder, for a sweep that is not submitted."""
    prepared = write_files(prepared)
    with written(prepared.sweep, prepared.spec):
        pass


def tell(prepared: Prepared, job_ids: Sequence[str], as_json: bool) -> None:
    """Says what was done and what to type next."""
    sweep, spec = prepared.sweep, prepared.spec
    command = [f"sbatch --parsable {sweep.path / array.script}" for array in prepared.arrays]
    number = len(prepared.trials) or spec["budget"]["trials"]
    if as_json:
        told = {
            "sweep": sweep.name, "sweep_dir": str(sweep.path), "cluster": spec["cluster"], "trials": number,
            "job_ids": list(job_ids), "dry_run": spec["dry_run"], "command": " && ".join(command),
        }  # fmt: skip
        print(json.dumps(told), flush=True)
        return
    how = "every combination" if spec["sampler"] == "grid" else f"{spec['sampler']}, {spec['pruner']} prunes"
    over = ", ".join(spec["parameters"]) or "nothing"
    print(f"sweep     {sweep.name}")
    print(f"folder    {sweep.path}")
    print(f"trials    {'until the budget is spent' if number is None else number} ({how}) over {over}")
    if job_ids:
        print(f"jobs      {', '.join(job_ids)}")
    elif spec["dry_run"]:
        print(f"dry run   nothing was submitted\nsubmit with  {' && '.join(command)}")
    print(f"next      python -m launcher sweep status {sweep.name}", flush=True)


def _is_setting(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key == "sweep" or key.startswith(("sweep.", "sweep@"))


def _with_ends(axis: Axis, parser: OverridesParser) -> Axis:
    """The axis with the ends of its interval as values, to be planned for a look."""
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
    """The first value of every axis, and each other value once: what can be told of a space before a sampler is in it."""
    first = tuple(axis.values[0] for axis in axes)
    others = [
        (*first[:at], value, *first[at + 1 :]) for at, axis in enumerate(axes) for value in axis.values[1:]
    ]
    return [first, *others]


def _space(axis: Axis, sampled: bool) -> dict[str, Any]:
    """What a study needs to know of an axis, as JSON values. A grid's values are choices."""
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


def _check(settings: SweepConfig, config: Config, axes: Sequence[Axis]) -> None:
    """ConfigError for settings that cannot be followed."""
    check_installed(settings.sampler, settings.pruner)
    check_deadline(settings.deadline)
    for key in ("trials", "parallel"):
        value = getattr(settings, key)
        if value is not None and value < 1:
            raise ConfigError(f"sweep.{key}={value} must be at least 1, or null for no limit")
    if settings.reduction_factor < 2:
        raise ConfigError(f"sweep.reduction_factor={settings.reduction_factor} must be at least 2")
    if settings.sampler is not Sampler.grid:
        if not any(axis.swept for axis in axes):
            raise ConfigError(
                f"sweep.sampler={settings.sampler.name} has nothing to search; give a key several values, as in "
                "'trainer.learning_rate=tag(log, interval(1e-5,1e-3))', or name a search space with +sweep=NAME"
            )
        if settings.trials is settings.gpu_hours is settings.deadline is None:
            raise ConfigError(
                f"sweep.sampler={settings.sampler.name} would never end; set sweep.trials, sweep.gpu_hours or sweep.deadline"
            )
    evaluates = settings.objective.startswith("eval_")
    searches = settings.sampler is not Sampler.grid or settings.pruner is not Pruner.none
    if searches and evaluates and config.data.eval_path is None:
        raise ConfigError(
            f"sweep.objective={settings.objective} is never reported: data.eval_path is null; set it, or sweep.objective=loss"
        )
    if settings.pruner is not Pruner.none and evaluates and config.trainer.eval_steps is None:
        raise ConfigError(
            f"sweep.pruner={settings.pruner.name} looks at {settings.objective} while a trial trains; set trainer.eval_steps"
        )


def _check_one_shape(planned: Sequence[Planned]) -> None:
    for trial in planned[1:]:
        for flag, value in trial.shape.items():
            if planned[0].shape.get(flag) != value:
                shown = " ".join(f"{key}={text}" for key, text in trial.values.items())
                raise ConfigError(
                    f"{shown} would ask Slurm for --{flag}={value}, and other trials for {planned[0].shape.get(flag)}; a "
                    "sampler's workers are alike: search such a key with sweep.sampler=grid"
                )


def _first_report(settings: SweepConfig, config: Config) -> int | None:
    if settings.objective.startswith("eval_"):
        return config.trainer.eval_steps
    return config.trainer.logging_steps


def _own_of_hydra(asked: Asked) -> list[str]:
    """What was typed of Hydra's own configuration, such as a search path."""
    ours = ("hydra.sweep.dir=", "hydra.mode=", "hydra/launcher", "hydra/sweeper")
    return [one for one in asked.master.hydra.overrides.hydra if not one.lstrip("+~").startswith(ours)]


def _new_folder(runs_dir: Path, name: str, moment: datetime) -> SweepDir:
    base = runs_dir / check_name(name) / f"sweep_{moment.strftime('%Y-%m-%d_%H-%M-%S')}"
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}_{number}")
    return SweepDir(path)


def _no_folder(prepared: Prepared, why: str) -> RunError:
    return RunError(
        f"runs_dir={prepared.config.runs_dir}: {prepared.sweep.path} cannot be made ({why}); choose another folder"
    )


def _request(prepared: Prepared) -> str:
    """The same for the same sweep, whenever it is typed."""
    kept = {key: value for key, value in prepared.spec.items() if key not in _MAY_DIFFER}
    text = json.dumps([kept, prepared.texts]).replace(str(prepared.sweep.path), "SWEEP")
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
