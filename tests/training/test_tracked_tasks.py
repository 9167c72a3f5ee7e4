"""Figures of tasks at real trackers, without a network: at the step of the checkpoint, in the run that the ranks have made."""

import importlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.after.track_scores import track_scores
from launcher.run import RunDir
from tests.support.runs import launch

SCORES = {"tasks/colours/acc": 0.75, "tasks/colours/f1": 0.5}
STEPS = ("trainer.max_steps=3", "trainer.logging_steps=1", "data.eval_path=null")


@pytest.fixture
def planned(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in (
        "MLFLOW_TRACKING_URI",
        "TRACKIO_SPACE_ID",
        "TRACKIO_SERVER_URL",
        "WANDB_MODE",
        "WANDB_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    return lambda *typed: RunDir(launch(tmp_path, cache, *typed).path)


@pytest.mark.train
def test_mlflow_has_them_in_the_run_of_the_ranks_whose_state_stays(planned, capsys):
    run = planned("tracker=mlflow", "tracker.project=mine", *STEPS)
    track_scores(run, 2, SCORES)
    assert (
        "mlflow has the figures of the tasks at step 2, in the run dir until `sync` sends them"
        in capsys.readouterr().err
    )
    uri = f"sqlite:///{run.path}/mlflow/mlflow.db"
    client = importlib.import_module("mlflow.tracking").MlflowClient(tracking_uri=uri)
    (one,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    history = client.get_metric_history(one.info.run_id, "tasks/colours/acc")
    assert [(point.step, point.value) for point in history] == [(2, 0.75)] and one.info.status == "FINISHED"
    assert len(client.get_metric_history(one.info.run_id, "loss")) == 3


def test_tensorboard_has_them_in_a_folder_of_their_own(planned):
    run = planned("tracker=tensorboard", "dry_run=true")
    for step in (2, 4):
        track_scores(run, step, SCORES)
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(run.path / "tensorboard/tasks")).Reload()
    assert sorted(found.Tags()["scalars"]) == sorted(SCORES)
    assert [(one.step, one.value) for one in found.Scalars("tasks/colours/f1")] == [(2, 0.5), (4, 0.5)]


def test_trackio_has_them_in_its_database(planned, monkeypatch):
    run = planned("tracker=trackio", "tracker.project=mine", "dry_run=true")
    done = subprocess.run(  # trackio reads its folder from the environment once in a process
        [sys.executable, "-c",
         "import sys; from pathlib import Path; from launcher.run import RunDir\n"
         "from launcher.after.track_scores import track_scores\n"
         "track_scores(RunDir(Path(sys.argv[1])), 2, {'tasks/colours/acc': 0.75})", str(run.path)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "trackio has the figures of the tasks at step 2, in the run dir" in done.stderr, done.stderr
    storage = sqlite3.connect(next((run.path / "trackio").glob("*.db")))
    rows = storage.execute("SELECT step, metrics FROM metrics").fetchall()
    assert [(step, "tasks/colours/acc" in str(text)) for step, text in rows] == [(2, True)]


def test_wandb_keeps_them_offline_in_a_part_of_the_same_run_that_sync_would_send(planned, capsys):
    run = planned("tracker=wandb", "tracker.project=mine", "dry_run=true")
    track_scores(run, 2, SCORES)
    assert "in the run dir until `sync` sends them" in capsys.readouterr().err
    tracker = importlib.import_module("launcher.trackers.wandb").SPEC
    (part,) = tracker.unsent(run.path)
    (records,) = part.glob("*.wandb")
    content = records.read_bytes()
    assert b"tasks/colours/acc" in content and b"train/global_step" in content


def test_a_tracker_that_fails_is_a_warning(planned, capsys):
    run = planned("tracker=mlflow", "dry_run=true")
    (run.path / "mlflow").write_text("no folder")
    track_scores(run, 2, SCORES)
    assert "warning: the tracker gets no figures of the tasks: " in capsys.readouterr().err


def test_nothing_is_said_without_a_tracker(planned, capsys):
    run = planned("tracker=none", "dry_run=true")
    capsys.readouterr()
    track_scores(run, 2, SCORES)
    assert capsys.readouterr().err == ""
