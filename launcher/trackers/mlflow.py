"""MLflow: a tracking server if one answers, otherwise a database in the run dir, which `sync` copies to a server later."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from launcher.environment import Variable
from launcher.output import say
from launcher.packages import Package
from launcher.trackers.base import Number, Tracked, Tracker, TrackingStart
from launcher.trackers.host import PROBE_S, answers

_ID, _GROUP = "launcher.id", "launcher.sweep"
"""Tags of a run at MLflow. All attempts of a run find the same MLflow run by the first tag."""
_TERMS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""MLflow's own limits are 120 s and 7 retries. Source: MLflow's page on environment variables."""
_LONGEST = 500
"""Most characters of a parameter's value. Source: MLflow's validation.py, MAX_PARAM_VAL_LENGTH, of its oldest servers."""
_BATCH = 1000
"""Most metrics in one call. Source: MLflow's REST API, "Log Batch"."""


class Mlflow(Tracker):
    """MLflow, through its client: metrics and the run's settings."""

    says: ClassVar[str] = "MLflow at `MLFLOW_TRACKING_URI`; tracker.project is the experiment"
    several_runs: ClassVar[bool] = True
    offline: ClassVar[str] = "without MLFLOW_TRACKING_URI, or if the server does not answer within 3 s"
    environment: ClassVar[tuple[Variable, ...]] = (  # mlflow.org's page "Environment variables"
        Variable(
            name="MLFLOW_TRACKING_URI",
            meaning="Address of the MLflow server or database. Without it, a run is tracked in its run dir.",
            set_by="a person",
            read_by="rank, sync",
        ),
        Variable(
            name="MLFLOW_TRACKING_TOKEN",
            meaning="Secret: a token for the MLflow server. Jobs inherit it; it is never written to a file.",
            set_by="a person",
            read_by="mlflow",
        ),
        Variable(
            name="MLFLOW_TRACKING_PASSWORD",
            meaning="Secret: a password for the MLflow server. Jobs inherit it; it is never written to a file.",
            set_by="a person",
            read_by="mlflow",
        ),
        Variable(
            name="MLFLOW_HTTP_REQUEST_TIMEOUT",
            meaning="Seconds of a request to the MLflow server; 10 by default.",
            set_by="rank, sync, or a person",
            read_by="mlflow",
        ),
        Variable(
            name="MLFLOW_HTTP_REQUEST_MAX_RETRIES",
            meaning="Repeats of such a request; 2 by default.",
            set_by="rank, sync, or a person",
            read_by="mlflow",
        ),
    )
    packages: ClassVar[tuple[Package, ...]] = (
        Package(
            module="mlflow",
            name="mlflow-skinny (or mlflow)",
            install="pip install mlflow-skinny==3.17.2 'sqlalchemy>=2,<3' alembic",
        ),
        Package(module="sqlalchemy", name="sqlalchemy", install="pip install 'sqlalchemy>=2,<3' alembic"),
    )
    secrets: ClassVar[tuple[str, ...]] = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")

    def open(self, run: Tracked, environ: Mapping[str, str]) -> "_MlflowLog":
        """The log at the server, or in the run dir's mlflow/ if the server cannot be used."""
        why = why_unreachable(environ, answers)
        if why is None:
            try:
                return _MlflowLog(
                    _client(environ["MLFLOW_TRACKING_URI"]), run, TrackingStart(mode="online", id=run.id)
                )
            except Exception as error:  # MLflow's client can raise anything; the run dir is the fallback
                why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
        return _MlflowLog(_client(_local(run.folder)), run, TrackingStart(mode="offline", why=why, id=run.id))

    def add_figures(
        self, run: Tracked, step: int, values: Mapping[str, Number], environ: Mapping[str, str]
    ) -> str:
        """Adds them to the run at the server, or in the run dir, whose state stays that of its ranks."""
        why = why_unreachable(environ, answers)
        client = _client(_local(run.folder) if why else environ["MLFLOW_TRACKING_URI"])
        run_id, _ = _find_run(client, run.project, run.name, _tags(run))
        _log_values(client, run_id, step, values, time.time())
        return "in the run dir until `sync` sends them" if why else "at the server"

    def unsent(self, folder: Path) -> list[Path]:
        """The database, if it has changed since it was sent."""
        database = _database(folder)
        if not database.is_file() or (
            _sent(folder).is_file() and _sent(folder).read_text() == _state(database)
        ):
            return []
        return [database]

    def why_unsendable(self, environ: Mapping[str, str]) -> str | None:
        """The reason why there is no server to send to, with the way out; None if there is one."""
        why = why_unreachable(environ, answers)
        if why is None:
            return None
        way = (
            "set it in your shell"
            if not environ.get("MLFLOW_TRACKING_URI")
            else "run it on a machine that reaches the server"
        )
        return f"{why}; {way}"

    def send(self, folder: Path, files: list[Path], environ: Mapping[str, str]) -> str | None:
        """The error, or None once parameters and metrics are copied to the server, into the run with the same id."""
        mlflow_error: Any = import_module("mlflow.exceptions").MlflowException
        here, there = _client(_local(folder)), _client(environ["MLFLOW_TRACKING_URI"])
        try:
            for experiment in here.search_experiments():
                for run in here.search_runs([experiment.experiment_id]):
                    _copy(here, there, run, experiment.name)
        except mlflow_error as error:
            return str(error).strip().partition("\n")[0][:300]
        _sent(folder).write_text(_state(_database(folder)))
        return None


class _MlflowLog:
    """The log of an MLflow run."""

    def __init__(self, client: Any, run: Tracked, started: TrackingStart) -> None:
        self.started = started
        self._client = client
        self._id, new = _find_run(client, run.project, run.name, _tags(run))
        if new:  # parameters cannot be changed, so those of the first attempt stay
            _log_params(client, self._id, run.settings)
        else:
            client.update_run(self._id, status="RUNNING")

    def write(self, step: int, values: Mapping[str, Number], time_s: float) -> None:
        _log_values(self._client, self._id, step, values, time_s)

    def finish(self) -> None:
        self._client.set_terminated(self._id)


def _tags(run: Tracked) -> dict[str, str]:
    return {_ID: run.id, **({_GROUP: run.group} if run.group else {})}


def _log_values(client: Any, run_id: str, step: int, values: Mapping[str, Number], time_s: float) -> None:
    metric: Any = import_module("mlflow.entities").Metric
    when = int(1000 * time_s)
    metrics = [metric(name, float(value), when, step) for name, value in values.items()]
    client.log_batch(run_id, metrics=metrics)


def why_unreachable(environ: Mapping[str, str], answers: Callable[[str], bool]) -> str | None:
    """The reason why there is no server to send to; None if one answers, or for a store that is not an HTTP server."""
    uri = environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return "there is no MLFLOW_TRACKING_URI"
    if uri.startswith(("http://", "https://")) and not answers(uri):
        return f"{urlsplit(uri).hostname} did not answer within {PROBE_S:g} s"
    return None


def _client(uri: str) -> Any:
    import os

    for name, value in _TERMS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return import_module("mlflow.tracking").MlflowClient(tracking_uri=uri)


def _find_run(client: Any, project: str, name: str, tags: Mapping[str, str]) -> tuple[str, bool]:
    """The id of the run at MLflow, and whether it was created now."""
    found = client.get_experiment_by_name(project)
    experiment = found.experiment_id if found else client.create_experiment(project)
    runs = client.search_runs([experiment], f"tags.`{_ID}` = '{tags[_ID]}'", max_results=1)
    if runs:
        return str(runs[0].info.run_id), False
    return str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id), True


def _log_params(client: Any, run_id: str, settings: Mapping[str, Any]) -> None:
    param: Any = import_module("mlflow.entities").Param
    if long := [name for name, value in settings.items() if len(str(value)) > _LONGEST]:
        say(
            f"warning: MLflow gets no parameter of more than {_LONGEST} characters; left out: {', '.join(long)}"
        )
    params = [param(name, str(value)) for name, value in settings.items() if name not in long]
    for first in range(0, len(params), 100):
        client.log_batch(run_id, params=params[first : first + 100])


def _copy(here: Any, there: Any, run: Any, project: str) -> None:
    """Copies a run to another store; values that are there already do not change."""
    tags = {name: value for name, value in run.data.tags.items() if name in (_ID, _GROUP)}
    if _ID not in tags:
        return
    target, new = _find_run(there, project, run.info.run_name, tags)
    if new:
        _log_params(there, target, run.data.params)
    for name in run.data.metrics:
        history = here.get_metric_history(run.info.run_id, name)
        for first in range(0, len(history), _BATCH):
            there.log_batch(target, metrics=history[first : first + _BATCH])
    if run.info.status == "RUNNING":  # it runs still, was killed, or waits in the queue
        there.update_run(target, status="RUNNING")
    else:
        there.set_terminated(target, status=run.info.status)


def _database(folder: Path) -> Path:
    return folder / "mlflow" / "mlflow.db"


def _sent(folder: Path) -> Path:
    return folder / "mlflow" / "sent.json"


def _local(folder: Path) -> str:
    database = _database(folder)
    database.parent.mkdir(exist_ok=True)
    return f"sqlite:///{database}"


def _state(database: Path) -> str:
    """A text that changes whenever the database changes."""
    facts = database.stat()
    return json.dumps({"bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns})


SPEC = Mlflow()
