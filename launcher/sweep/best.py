"""The best trial of a sweep as a runnable experiment file with all values of the trial."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.config import Config, read_config
from launcher.errors import RunError
from launcher.plugins.decide import facts_from
from launcher.run import write_text
from launcher.run.find import check_name
from launcher.sweep.folder import SweepDir
from launcher.sweep.read import Sweep, Trial, read_sweep

# An experiment does not set keys of the cluster or of a single launch.
_LEFT_OUT = (
    "cluster",
    "sweep",
    "runs_dir",
    "cache_dir",
    "dry_run",
    "force",
    "resume",
    "resume_weights_only",
    "trust_checkpoint",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best finished trial, written as an experiment."""

    sweep: Sweep
    trial: Trial
    path: Path
    """The experiment file."""
    command: str
    """The command that runs it."""


def write_best(sweep: SweepDir) -> Best:
    """The best trial, after its experiment file is written; RunError if no trial has finished."""
    now = read_sweep(sweep.path)
    if now.best is None:
        raise RunError(
            f"no trial of {now.name} has finished with {now.objective}; python -m launcher sweep status {now.name} shows why"
        )
    path, command = _write(sweep, now.best)
    return Best(sweep=now, trial=now.best, path=path, command=command)


def _write(sweep: SweepDir, best: Trial) -> tuple[Path, str]:
    """The path of the file, and the command that runs it."""
    run = sweep.trial(best.number)
    config, facts = read_config(str(run.config)), facts_from(run.read_json(run.plan).get("facts"))
    # the name becomes the name of a file, and a part of a command
    name = config.name = check_name(f"{config.name[:95]}_best")
    # Relative paths were relative to the folder in which the sweep was launched.
    if len(config.data.sources) != len(facts.data_sources):
        raise RunError(f"{run.config} and {run.plan} name other files of data; was one of them edited?")
    for source, path in zip(config.data.sources, facts.data_sources, strict=True):
        source.path = path
    if not config.data.sources:
        config.data.path = facts.data_path
    config.data.eval_path = facts.eval_path
    kept = {key: value for key, value in _as_values(config).items() if key not in _LEFT_OUT}
    folder = sweep.path / "best"
    path = folder / "experiment" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = f"python -m launcher --config-dir {shlex.quote(str(folder))} +experiment={name}"
    head = (
        f"# @package _global_\n# {command}\n# Trial {best.number} of {sweep.name}, the best one ({best.value}), with all its "
        "values. It needs the hardware, memory and time that the sweep's experiment names.\n"
    )
    write_text(path, head + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))
    return path, command


def _as_values(config: Config) -> dict[str, Any]:
    from omegaconf import OmegaConf  # imported here: other commands of a sweep do not need it

    found = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    return cast("dict[str, Any]", found)
