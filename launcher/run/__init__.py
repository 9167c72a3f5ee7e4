"""The run dir: every path of a run, its events, and how a run is found again.

runs/<name>/<date_time>/
"""

import fcntl
import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from launcher.errors import ConfigError, RunError, unknown

_REASONS = {
    128 + signal.SIGTERM: "terminated",
    128 + signal.SIGINT: "interrupted",
    128 + signal.SIGHUP: "terminal closed",
    128 + signal.SIGKILL: "a rank was killed (SIGKILL: out of memory, or from outside)",
}

_LOCK_TRIES, _LOCK_S = 50, 0.01

JOB_SCRIPT = "job.sbatch"
"""The script that carries a run, whatever starts it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """`name` itself, when it is one folder's name and safe as a job name; ConfigError otherwise."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name={name!r} is not a run name: it must be 1 to 100 of A-Z a-z 0-9 . _ - and start with a "
            "letter or digit, so that it stays one folder under runs_dir; try name=my_run"
        )
    return name


@dataclass(frozen=True, slots=True)
class RunDir:
    """Paths of one run. Nothing is read or written by making one."""

    path: Path

    @property
    def name(self) -> str:
        """name/date_time, or name/sweep_date_time/trial, by which a person calls the run."""
        parts = self.path.parts
        return "/".join(parts[-3:] if parts[-2].startswith("sweep_") else parts[-2:])

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        """What was typed."""
        return self.path / ".hydra" / "overrides.yaml"

    @property
    def config_dir(self) -> Path:
        """The absolute path that was given with --config-dir; no such file where there was none."""
        return self.path / ".hydra" / "config_dir"

    @property
    def earlier(self) -> Path:
        """The files of plans that a later one took the place of, a folder each."""
        return self.path / "earlier"

    @property
    def plan(self) -> Path:
        """What was decided."""
        return self.path / "plan.json"

    @property
    def data_check(self) -> Path:
        """What was found in the training data before the launch."""
        return self.path / "data_check.json"

    @property
    def data(self) -> Path:
        """Which tokens this attempt trains on, as rank 0 tells the others."""
        return self.path / "data.json"

    @property
    def job_script(self) -> Path:
        """What a submit hands to the cluster, or bash runs here."""
        return self.path / JOB_SCRIPT

    @property
    def job(self) -> Path:
        """How it was submitted: kind, id, time."""
        return self.path / "job.json"

    @property
    def intent(self) -> Path:
        """There while a job of the run is being submitted."""
        return self.path / "intent.json"

    @property
    def lease(self) -> Path:
        """Which supervisor writes this run dir."""
        return self.path / "lease.json"

    @property
    def events(self) -> Path:
        """Append-only: what happened."""
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        """A line per logged step."""
        return self.path / "metrics.jsonl"

    @property
    def logs(self) -> Path:
        """One folder per attempt, one file per node."""
        return self.path / "logs"

    @property
    def checkpoints(self) -> Path:
        """What a resume reads."""
        return self.path / "checkpoints"

    @property
    def export(self) -> Path:
        """The adapter or model, ready to be loaded."""
        return self.path / "model"

    def add_event(self, event: str, *, attempt: int, **facts: Any) -> None:
        """Append one line to events.jsonl, in one write, so that writers on several hosts do not mix."""
        append_line(self.events, {"time": now(), "event": event, "attempt": attempt, **facts})

    def read_events(self) -> list[dict[str, Any]]:
        """All events so far; a torn last line is left out."""
        return list(read_lines(self.events))

    def read_metrics(self) -> list[dict[str, Any]]:
        """All metrics so far; a torn last line is left out."""
        return list(read_lines(self.metrics))

    def read_json(self, path: Path) -> dict[str, Any]:
        """The JSON object in one of the run's files; RunError when it is missing or broken."""
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            raise RunError(f"{path} is missing: {self.path} is not a run dir") from None
        except ValueError as error:
            raise RunError(f"{path} is not JSON ({error}); was it edited?") from None

    def leased_to(self, nonce: str | None) -> bool:
        """Whether no other supervisor holds the lease; true for None, which is a rank that was started by hand."""
        if nonce is None:
            return True
        try:
            return json.loads(self.lease.read_text()).get("nonce") == nonce
        except FileNotFoundError:
            return not self.path.is_dir()
        except (OSError, ValueError):
            return True  # a file system that does not answer says nothing of the lease

    def attempts(self) -> int:
        """How many times the ranks were started."""
        return sum(event["event"] == "started" for event in self.read_events())

    def note_job(self, kind: str, job_id: str) -> None:
        """Writes job.json and the event, once for each job."""
        known = {job_number(event["job_id"]) for event in self.read_events() if event["event"] == "submitted"}
        same = self.job.exists() and job_number(str(self.read_json(self.job)["job_id"])) == job_number(job_id)
        if same and job_number(job_id) in known:
            return
        write_text(self.job, json.dumps({"cluster": kind, "job_id": job_id, "submitted": now()}) + "\n")
        self.add_event("submitted", attempt=self.attempts(), cluster=kind, job_id=job_id)

    def add_end(self, attempt: int, code: int) -> None:
        """The attempt's last event: finished, or stopped with the exit code and what it means."""
        if code == 0:
            self.add_event("finished", attempt=attempt)
            return
        reason = _REASONS.get(code) or self.crash(attempt) or f"the ranks ended with exit code {code}"
        self.add_event("stopped", attempt=attempt, exit_code=code, reason=reason)

    def crash(self, attempt: int) -> str | None:
        """The first rank's error in an attempt, with its host and rank; None where no rank told one."""
        for event in self.read_events():
            if event["event"] == "crashed" and event["attempt"] == attempt:
                return f"rank {event['rank']} on {event['host']}: {event['error']}"
        return None


def job_number(job_id: str) -> str:
    """A job id without the name of its cluster, which may stand behind a semicolon."""
    return job_id.partition(";")[0]


def now() -> str:
    """The time in UTC, ISO 8601, with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append `value` as one JSON line with one write(2) on an O_APPEND descriptor; after a torn line, on a new one.

    Under a lock where that is to be had soon: NFS does not append by itself (open(2)).
    """
    line = json.dumps(value, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _lock(descriptor)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = f"\n{line}"
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """For as long as the descriptor is open; goes on without it where the file system has no locks or another holds it long."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_S)
        except OSError:
            return
        else:
            return


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a .jsonl file; none where there is no file. Broken lines are left out."""
    if not path.exists():
        return
    for line in path.read_text(errors="replace").split("\n"):  # a JSON string may hold other line ends
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield cast("dict[str, Any]", value)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def new_run_dir(runs_dir: Path, name: str, moment: datetime, trial: str | None = None) -> RunDir:
    """A path for a new run that no run has; nothing is made yet. A multirun's trials share one folder."""
    stamp = moment.strftime("%Y-%m-%d_%H-%M-%S")
    base = runs_dir / check_name(name) / (stamp if trial is None else f"sweep_{stamp}/{trial}")
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}_{number}")
    return RunDir(path)


def list_runs(runs_dir: Path) -> list[RunDir]:
    """All runs under `runs_dir`, sweeps' trials included, oldest first."""
    plans = [plan for pattern in ("*/*", "*/*/*") for plan in runs_dir.glob(f"{pattern}/plan.json")]
    found = [RunDir(plan.parent) for plan in plans]
    return sorted(found, key=lambda run: (run.plan.stat().st_mtime_ns, run.path.name))


def find_run(runs_dir: Path, reference: str | None) -> RunDir:
    """The run that `reference` means: a run dir, name/date_time or a name (its newest); None: the newest."""
    if reference:
        for path in (Path(reference), runs_dir / reference):
            if (path / "plan.json").is_file():
                return RunDir(path.resolve())
    runs = list_runs(runs_dir)
    if not runs:
        raise RunError(f"no runs under {runs_dir}: start one, or name its folder with --runs-dir DIR")
    if not reference:
        return RunDir(runs[-1].path.resolve())
    parts = tuple(Path(reference).parts)
    matching = [run for run in runs if run.path.relative_to(runs_dir).parts[: len(parts)] == parts]
    if not matching:
        names = {run.path.relative_to(runs_dir).parts[0] for run in runs}
        raise RunError(unknown(f"run under {runs_dir}", reference, names))
    return RunDir(matching[-1].path.resolve())


def find_submitted(runs_dir: str, name: str, job_id: str) -> RunDir | None:
    """The newest run of that name that was started by job `job_id`."""
    for plan in sorted(Path(runs_dir).absolute().glob(f"{check_name(name)}/*/plan.json"), reverse=True):
        run = RunDir(plan.parent)
        if run.job.exists() and run.read_json(run.job).get("job_id") == job_id:
            return run
    return None
