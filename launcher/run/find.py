"""How a run is made, listed and found again under runs_dir."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from launcher.errors import ConfigError, RunError, unknown
from launcher.run.dir import RunDir

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """`name` itself, when it is one folder's name and safe as a job name; ConfigError otherwise."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name={name!r} is not a run name: it must be 1 to 100 of A-Z a-z 0-9 . _ - and start with a "
            "letter or digit, so that it stays one folder under runs_dir; try name=my_run"
        )
    return name


def as_name(text: str) -> str:
    """A run name made from any text: each character that a name may not have becomes `_`."""
    return re.sub(r"^[^A-Za-z0-9]+", "", re.sub(r"[^A-Za-z0-9._-]", "_", text))[:100] or "run"


def new_run_dir(runs_dir: Path, name: str, moment: datetime, trial: str | None = None) -> RunDir:
    """An unused path for a new run; nothing is created yet. A multirun's trials share one folder."""
    stamp = moment.strftime("%Y-%m-%d_%H-%M-%S")
    base = runs_dir / check_name(name) / (stamp if trial is None else f"sweep_{stamp}/{trial}")
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}_{number}")
    return RunDir(path)


def list_runs(runs_dir: Path) -> list[RunDir]:
    """All runs of this machine under `runs_dir`, sweeps' trials included, oldest first."""
    from launcher.run.scan import scan  # imported here, as below: a launch looks for no run

    here, _ = scan(str(runs_dir))
    return [RunDir(Path(one.folder)) for one in here]


def find_run(runs_dir: Path, reference: str | None) -> RunDir:
    """The run that `reference` means: a run dir, name/date_time or a name (its newest); None: the newest.

    The newest run is the newest that was submitted, or the newest dry run if none was. RunElsewhere for a run on a cluster
    that is reached by ssh.
    """
    from launcher.run.remote import refuse_remote_name

    if exact := find_exact(runs_dir, reference):
        return exact
    if reference is not None and not Path(reference.strip()).parts:
        raise RunError(
            f"{reference!r} names no run; name one that python -m launcher list shows, or leave it out for the newest"
        )
    runs = list_runs(runs_dir)
    matching = runs if not reference else matching_runs(runs_dir, reference, runs)
    newest = newest_submitted(matching) if matching else None
    refuse_remote_name(runs_dir, reference, newest.plan if newest else None)
    if newest is None:
        raise RunError(_no_such_run(runs_dir, reference, runs))
    return RunDir(newest.path.resolve())


def find_exact(runs_dir: Path, reference: str | None) -> RunDir | None:
    """The run whose folder `reference` names, as a path or as name/date_time; None if it names no run dir. RunElsewhere for
    a run on a cluster that is reached by ssh."""
    from launcher.run.remote import refuse_remote_folder

    refuse_remote_folder(runs_dir, reference)
    if reference:
        for path in (Path(reference), runs_dir / reference):
            if (path / "plan.json").is_file():
                return RunDir(path.resolve())
    return None


def matching_runs(runs_dir: Path, reference: str, runs: Sequence[RunDir]) -> list[RunDir]:
    """The runs whose first folders under `runs_dir` are those of `reference`."""
    parts = tuple(Path(reference).parts)
    return [run for run in runs if run.path.relative_to(runs_dir).parts[: len(parts)] == parts]


def newest_submitted(runs: Sequence[RunDir]) -> RunDir:
    """The last run that was submitted; the last of all if none was."""
    return next((run for run in reversed(runs) if run.submitted), runs[-1])


def _no_such_run(runs_dir: Path, reference: str | None, runs: Sequence[RunDir]) -> str:
    """What is wrong with a reference to a run: its folder is missing or is not a run dir, or no run has that name."""
    if reference and Path(reference).is_dir():
        return f"{reference} is not a run dir: it has no plan.json; name a run that python -m launcher list shows"
    if reference and reference.startswith(("/", "./", "../", "~")):
        return f"the folder {reference} does not exist; name a run that python -m launcher list shows, or an existing folder"
    if not runs:
        what = f"{reference} does not exist: there are " if reference else ""
        return (
            f"{what}no runs under {runs_dir}: start one, or name the folder of your runs with --runs-dir DIR"
        )
    names = {run.path.relative_to(runs_dir).parts[0] for run in runs}
    return unknown(f"run under {runs_dir}", str(reference), names)


def find_submitted(runs_dir: str, name: str, job_id: str) -> RunDir | None:
    """The newest run of that name that was started by job `job_id`."""
    for plan in sorted(Path(runs_dir).absolute().glob(f"{check_name(name)}/*/plan.json"), reverse=True):
        run = RunDir(plan.parent)
        if run.job.exists() and run.read_json(run.job).get("job_id") == job_id:
            return run
    return None
