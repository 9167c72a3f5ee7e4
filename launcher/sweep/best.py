"""The best trial of a sweep as a runnable experiment file with all values of the trial."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.errors import RunError
from launcher.reading import read_text
from launcher.run import RunDir, write_text
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
    config = _config(run)
    name = check_name(
        f"{str(config.get('name'))[:95]}_best"
    )  # the name becomes the name of a file, and a part of a command
    kept = {key: value for key, value in config.items() if key not in _LEFT_OUT}
    facts = run.read_json(run.plan)["facts"]
    kept["name"] = name
    # Relative paths were relative to the folder in which the sweep was launched.
    if kept["data"]["sources"]:
        for source, path in zip(kept["data"]["sources"], facts["data_sources"], strict=True):
            source["path"] = path
    else:
        kept["data"]["path"] = facts["data_path"]
    kept["data"]["eval_path"] = facts["eval_path"]
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


def _config(run: RunDir) -> dict[str, Any]:
    try:
        found = yaml.safe_load(read_text(run.config))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise RunError(f"{run.config} cannot be read: {' '.join(str(error).split())[:100]}") from None
    if not isinstance(found, dict):
        raise RunError(f"{run.config} is not a mapping of keys to values; was it edited?")
    return cast("dict[str, Any]", found)
