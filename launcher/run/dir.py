"""The run dir: every path of a run, and what is appended to and read from its files.

runs/<name>/<date_time>/
"""

import json
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from launcher.errors import RunError
from launcher.masking import mask_all
from launcher.reading import read_json
from launcher.run.events import Event, EventReader, make
from launcher.run.events.launching import Submitted
from launcher.run.kinds import check_kinds
from launcher.run.lines import append_line, now, write_text

if TYPE_CHECKING:  # whoever launches a run reads no metrics
    from launcher.run.metrics import Line

JOB_SCRIPT = "job.sbatch"
"""The script that runs a run's supervisor, whatever starts it."""

E = TypeVar("E", bound=Event)

_PLANNING = re.compile(rb'"event": ?"(planned|replanned)"')
"""Matches the events that a run can have before it is submitted."""

_STARTED = b'"started"'
"""In the line of every start of the ranks."""

_REASONS = {
    128 + signal.SIGTERM: "terminated",
    128 + signal.SIGINT: "interrupted",
    128 + signal.SIGHUP: "terminal closed",
    128 + signal.SIGKILL: "a rank was killed (SIGKILL: out of memory, or from outside)",
}


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
        """The absolute path that was given with --config-dir; the file does not exist if there was none."""
        return self.path / ".hydra" / "config_dir"

    @property
    def earlier(self) -> Path:
        """The files of replaced plans, one folder each."""
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
    def code(self) -> Path:
        """The code that the run imports, and what else it was started with; the file does not exist if it was not kept."""
        return self.path / "code.json"

    @property
    def code_archives(self) -> Path:
        """The archives of that code."""
        return self.path / "code"

    @property
    def code_diff(self) -> Path:
        """What differed from the git commit."""
        return self.path / "code.diff"

    @property
    def data(self) -> Path:
        """The tokens that this attempt trains on, as rank 0 reports them to the others."""
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
        """It exists while a job of the run is being submitted."""
        return self.path / "intent.json"

    @property
    def insurance(self) -> Path:
        """The job that waits behind the run's job, in case that this one ends before the run is over."""
        return self.path / "insurance.json"

    @property
    def insurance_intent(self) -> Path:
        """It exists while that job is being submitted."""
        return self.path / "insurance_intent.json"

    @property
    def lease(self) -> Path:
        """Which supervisor writes this run dir."""
        return self.path / "lease.json"

    @property
    def leader(self) -> Path:
        """Where the agents find the supervisor that leads them, or a candidate; only in jobs that outlive their batch host."""
        return self.path / "leader.json"

    def claim(self, nonce: str) -> Path:
        """The file that exists once a supervisor of the same job has taken over the lease as `nonce`."""
        return self.path / f".lease.{nonce}"

    @property
    def together(self) -> Path:
        """The group of trials with which it shares a base model; the file does not exist for a run with a job of its own."""
        return self.path / "together.json"

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

    @property
    def submitted(self) -> bool:
        """Whether it was ever submitted or started, by the launcher or by hand; False for a dry run."""
        if self.job.exists() or self.intent.exists():
            return True
        with suppress(OSError), self.events.open("rb") as events:
            return any(not _PLANNING.search(line) for line in events if line.endswith(b"\n"))
        return False

    def note(self, event: Event) -> None:
        """Append one event to events.jsonl, in one write, so that writers on several hosts do not mix. Secrets are masked."""
        append_line(self.events, mask_all(event.line(now())))

    def log(self, line: "Line") -> None:
        """Append one line to metrics.jsonl in the same way."""
        append_line(self.metrics, line.line())

    def add_event(self, kind: str, *, attempt: int, **facts: Any) -> None:
        """Append an event whose kind or fields are not known before the program runs, as those of a plugin or tracker."""
        self.note(make(kind, attempt=attempt, **facts))

    @overload
    def read_events(self) -> list[Event]: ...

    @overload
    def read_events(self, *kinds: type[E]) -> list[E]: ...

    def read_events(self, *kinds: type[Any]) -> list[Any]:
        """The events of these kinds so far, oldest first; without `kinds` all of them. Torn lines are left out."""
        return EventReader(self.events, *kinds).read()

    def read_metrics(self) -> "list[Line]":
        """All metrics so far; damaged lines are left out."""
        from launcher.run.metrics import MetricsReader

        return MetricsReader(self.metrics).read()

    def read_json(self, path: Path) -> dict[str, Any]:
        """The JSON object in one of the run's files; RunError when it is missing or broken."""
        try:
            value = read_json(path)
        except FileNotFoundError:
            raise RunError(f"{path} is missing: {self.path} is not a run dir") from None
        if not isinstance(value, dict):
            raise RunError(f"{path} holds a JSON {type(value).__name__} instead of an object; was it edited?")
        check_kinds(path, found := cast("dict[str, Any]", value))
        return found

    def launched_in(self) -> str:
        """The folder in which the run was launched; RunError if its plan does not say."""
        facts = self.read_json(self.plan).get("facts")
        folder = cast("dict[str, Any]", facts).get("work_dir") if isinstance(facts, dict) else None
        if not isinstance(folder, str):
            raise RunError(f"{self.plan} does not say where the run was launched; was it edited?")
        return folder

    def attempts(self) -> int:
        """How many times the ranks were started."""
        with suppress(OSError), self.events.open("rb") as events:
            if not any(
                _STARTED in line for line in events
            ):  # as in every launch, which need not import the kind
                return 0
        from launcher.run.events.supervisor import Started

        return len(self.read_events(Started))

    def note_job(self, kind: str, job_id: str, started: int | None = None) -> None:
        """Writes job.json and the event, once for each job. `started`: for a process of this machine, its start time in ticks
        since boot, which distinguishes it from a later process with the same id."""
        known = {job_number(event.job_id) for event in self.read_events(Submitted)}
        same = self.job.exists() and job_number(str(self.read_json(self.job)["job_id"])) == job_number(job_id)
        if same and job_number(job_id) in known:
            return
        write_text(
            self.job,
            json.dumps(
                {
                    "cluster": kind,
                    "job_id": job_id,
                    "submitted": now(),
                    **({"started": started} if started else {}),
                }
            )
            + "\n",
            durable=True,
        )
        self.note(Submitted(attempt=self.attempts(), cluster=kind, job_id=job_id))

    def add_end(self, attempt: int, code: int) -> None:
        """The attempt's last event: finished, or stopped with the exit code and what it means."""
        from launcher.run.events.supervisor import Finished, Stopped

        if code == 0:
            self.note(Finished(attempt=attempt))
            return
        reason = _REASONS.get(code) or self.crash(attempt) or f"the ranks ended with exit code {code}"
        self.note(Stopped(attempt=attempt, exit_code=code, reason=reason))

    def crash(self, attempt: int) -> str | None:
        """The first rank's error in an attempt, with its host and rank; None if no rank reported one."""
        from launcher.run.events.ranks import Crashed

        crashed = (event for event in self.read_events(Crashed) if event.attempt == attempt)
        return next((event.told for event in crashed), None)


def job_number(job_id: str) -> str:
    """A job id without the name of its cluster, which can follow a semicolon."""
    return job_id.partition(";")[0]
