"""The folder of a sweep: all its paths, and the search for a sweep by its name.

runs/<name>/sweep_<date_time>/
    sweep.json          the request, and what all trials have in common; written last, so an incomplete folder is not a sweep
    trials.jsonl        a line per trial that was planned when the sweep was submitted
    job.sbatch          the array, ready to be submitted by hand; job_1.sbatch, ... if one array cannot hold all trials
    jobs.json           the arrays that are queued
    claims/N.G.json     the worker that has trial N; the newest generation G counts
    outcomes/N.json     how trial N ended
    study.log           Optuna's journal, if a sampler or a pruner needs a study
    N/                  the run dir of trial N, written when the trial starts
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.errors import RunError, unknown
from launcher.reading import read_json
from launcher.run import RunDir, read_lines
from launcher.run.kinds import OUTCOME, fits
from launcher.run.remote import refuse_remote_folder, refuse_remote_name
from launcher.run.scan import REMOTE

STATES = ("waiting", "running", "finished", "pruned", "failed", "cancelled")
"""States of a trial."""


@dataclass(frozen=True, slots=True)
class SweepDir:
    """Paths of one sweep. Creating one neither reads nor writes anything."""

    path: Path

    @property
    def name(self) -> str:
        """name/sweep_date_time, the name that is shown to the user."""
        return "/".join(self.path.parts[-2:])

    @property
    def spec(self) -> Path:
        """The request, and what all trials have in common."""
        return self.path / "sweep.json"

    @property
    def trials(self) -> Path:
        """The planned trials."""
        return self.path / "trials.jsonl"

    @property
    def jobs(self) -> Path:
        """The arrays that are queued."""
        return self.path / "jobs.json"

    @property
    def claims(self) -> Path:
        """The folder that says which worker has which trial."""
        return self.path / "claims"

    @property
    def outcomes(self) -> Path:
        """How trials ended."""
        return self.path / "outcomes"

    @property
    def study(self) -> Path:
        """Optuna's journal."""
        return self.path / "study.log"

    @property
    def stop(self) -> Path:
        """The file that exists once no further trial may begin. It contains the reason."""
        return self.path / "stop.json"

    @property
    def submitted(self) -> bool:
        """Whether it was submitted or started, by the launcher or by hand; False for a dry run."""
        traces = (self.jobs, self.as_run.job, self.as_run.intent)
        return (
            any(path.exists() for path in traces)
            or any(self.claims.glob("*"))
            or not self.read_spec().get("dry_run", False)
        )

    @property
    def as_run(self) -> RunDir:
        """The folder as the run dir of a job: its script, intent, job, events and logs."""
        return RunDir(self.path)

    def trial(self, number: int) -> RunDir:
        """The run dir of a trial."""
        return RunDir(self.path / str(number))

    def read_spec(self) -> dict[str, Any]:
        """The content of sweep.json; RunError if the folder is not a sweep."""
        return self.as_run.read_json(self.spec)


def read_planned(sweep: SweepDir) -> list[dict[str, Any]]:
    """The lines of trials.jsonl; RunError for one without a trial's number, because its trial would be lost."""
    lines = list(read_lines(sweep.trials))
    for at, line in enumerate(lines, start=1):
        if not fits(line, {"number": int}) or "number" not in line:
            raise RunError(f"{sweep.trials}: line {at} names no trial; was it edited?")
    return lines


def read_numbered(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(N, outcome) of every N.json in a folder, by number; incomplete and invalid files are left out."""
    if not folder.is_dir():
        return
    named = [path for path in folder.glob("[0-9]*.json") if re.fullmatch(r"[0-9]{1,9}", path.stem)]
    for path in sorted(named, key=lambda path: int(path.stem)):
        try:
            values = read_json(path)
        except (OSError, RunError):
            continue
        if fits(values, OUTCOME) and values.get("state") in STATES:
            yield int(path.stem), values


def list_sweeps(runs_dir: Path) -> list[SweepDir]:
    """All sweeps of this machine under `runs_dir`, oldest first."""
    specs = [spec for spec in runs_dir.glob("*/sweep_*/sweep.json") if not (spec.parent / REMOTE).exists()]
    found = [SweepDir(spec.parent) for spec in specs]
    return sorted(found, key=lambda sweep: (sweep.spec.stat().st_mtime_ns, sweep.path.name))


def find_begun(runs_dir: Path, job_id: str, typed: Sequence[str]) -> SweepDir | None:
    """The newest sweep with these typed arguments that job `job_id` began in its allocation."""
    for sweep in reversed(list_sweeps(runs_dir)):
        job = sweep.as_run.read_json(sweep.as_run.job) if sweep.as_run.job.exists() else {}
        if job.get("job_id") == job_id and sweep.read_spec()["typed"] == list(typed):
            return sweep
    return None


def find_sweep(runs_dir: Path, reference: str | None) -> SweepDir:
    """The sweep that `reference` names by its folder, name/sweep_date_time or its name (the newest one); None: the newest.

    The newest sweep is the newest that was submitted; dry runs count only if there are no others. RunElsewhere for a sweep on a
    cluster that is reached by ssh.
    """
    refuse_remote_folder(runs_dir, reference)
    if reference:
        for path in (Path(reference), runs_dir / reference):
            if (path / "sweep.json").is_file():
                return SweepDir(path.resolve())
    sweeps = list_sweeps(runs_dir)
    parts = tuple(Path(reference or "").parts)
    matching = [sweep for sweep in sweeps if sweep.path.relative_to(runs_dir).parts[: len(parts)] == parts]
    newest = _newest_submitted(matching) if matching else None
    refuse_remote_name(runs_dir, reference, newest.spec if newest else None, sweeps=True)
    if newest is not None:
        return SweepDir(newest.path.resolve())
    if not sweeps:
        asked = f" for {reference}" if reference else ""
        raise RunError(
            f"there are no sweeps under {runs_dir}{asked}: start one with -m, or give the folder of runs with --runs-dir DIR"
        )
    raise RunError(unknown(f"sweep under {runs_dir}", str(reference), {sweep.name for sweep in sweeps}))


def _newest_submitted(sweeps: Sequence[SweepDir]) -> SweepDir:
    return next((sweep for sweep in reversed(sweeps) if sweep.submitted), sweeps[-1])
