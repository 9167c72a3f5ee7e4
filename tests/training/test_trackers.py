"""MLflow and Trackio for real: one run over two attempts, files in the run dir, and what is sent later."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.packages import missing
from launcher.run import RunDir
from launcher.trackers.registry import TRACKERS
from tests.support import preloaded
from tests.support.runs import environment, launch
from tests.support.wandb_server import silent_server

STEPS = ("trainer.max_steps=3", "trainer.logging_steps=1", "data.eval_path=null")


@pytest.fixture
def nowhere(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def _sync(run, **more: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(("sync", str(run.path), "--json"), Path.cwd(), environment(**more), timeout_s=300)


def _losses(run) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in run.metrics() if "loss" in line}


@pytest.mark.train
@pytest.mark.long
def test_mlflow_without_a_server_keeps_the_run_in_its_dir_and_sync_copies_it_once(tmp_path, cache, nowhere):
    run = launch(tmp_path, cache, "tracker=mlflow", "tracker.project=mine", *STEPS)
    (event,) = run.events("tracking")
    assert event["mode"] == "offline" and event["why"] == "there is no MLFLOW_TRACKING_URI"
    refused = _sync(run)
    assert refused.returncode == 1 and "there is no MLFLOW_TRACKING_URI, so 1 run" in refused.stderr
    uri = f"sqlite:///{tmp_path}/central.db"
    assert json.loads(_sync(run, MLFLOW_TRACKING_URI=uri).stdout) == {
        "runs": [{"run": RunDir(run.path).name, "attempts": 1, "error": None}]
    }
    assert json.loads(_sync(run, MLFLOW_TRACKING_URI=uri).stdout) == {"runs": []}
    client = importlib.import_module("mlflow.tracking").MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("mine")
    (sent,) = client.search_runs([experiment.experiment_id])
    assert sent.data.tags["launcher.id"] == event["id"] and sent.info.status == "FINISHED"
    history = client.get_metric_history(sent.info.run_id, "loss")
    assert {one.step: one.value for one in history} == pytest.approx(_losses(run))
    assert sent.data.params["learning_rate"]


@pytest.mark.long
@pytest.mark.train
def test_mlflow_online_has_the_run_at_once_and_a_silent_server_costs_the_training_nothing(
    tmp_path, cache, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/central.db")
    run = launch(tmp_path, cache, "tracker=mlflow", *STEPS)
    assert run.events("tracking")[0]["mode"] == "online"
    assert not (run.path / "mlflow").exists()
    with silent_server() as host:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", host.replace("http://", "http://me:hidden-word@"))
        run = launch(tmp_path, cache, "tracker=mlflow", "name=silent", *STEPS)
    (event,) = run.events("tracking")
    assert event["mode"] == "offline" and event["why"] == "127.0.0.1 did not answer within 3 s"
    written = [path for path in run.path.rglob("*") if path.is_file() and b"hidden-word" in path.read_bytes()]
    assert written == []


@pytest.mark.train
def test_trackio_keeps_the_run_in_its_dir_and_sync_names_what_it_lacks(tmp_path, cache, nowhere):
    run = launch(tmp_path, cache, "tracker=trackio", "tracker.project=mine", *STEPS)
    (event,) = run.events("tracking")
    assert event["mode"] == "offline"
    shown = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, "TRACKIO_DIR": str(run.path / "trackio")},
        capture_output=True,
        text=True,
        check=True,
    )
    logs = json.loads(shown.stdout.splitlines()[-1])
    assert {one["step"]: one["loss"] for one in logs if "loss" in one} == pytest.approx(_losses(run))
    assert "there is no TRACKIO_SPACE_ID" in _sync(run).stderr
    token = "hf_0123456789abcdefghijklmnopqrstuvwx"
    known = {"TRACKIO_SPACE_ID": "me/mine", "HF_TOKEN": token}
    gone = _sync(run, HF_ENDPOINT="http://127.0.0.1:9", **known)
    assert gone.returncode == 1 and "http://127.0.0.1:9 did not answer within 3 s" in gone.stderr


READ = """
import json
from trackio.sqlite_storage import SQLiteStorage
(run,) = SQLiteStorage.get_runs("mine")
print(json.dumps(SQLiteStorage.get_logs("mine", run)))
"""


def test_the_packages_of_every_shipped_tracker_are_those_of_the_extra():
    for name in TRACKERS.own_names():
        assert not missing(TRACKERS.find(name).packages), name
