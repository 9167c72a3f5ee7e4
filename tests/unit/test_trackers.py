"""The trackers' specs, and packages that are missing where the ranks run."""

import importlib
import json

import pytest

from launcher.trackers.base import Tracked
from launcher.trackers.registry import TRACKERS
from tests.support.paths import ROOT


def test_the_documentation_has_a_line_for_every_tracker():
    said = (ROOT / "docs" / "guide" / "after_training.md").read_text()
    for name in TRACKERS.own_names():
        assert f"| `{name}` | {TRACKERS.find(name).says} |" in said
        assert (ROOT / "conf" / "tracker" / f"{name}.yaml").is_file()


def test_a_secret_of_a_tracker_is_known_as_one():
    from launcher.plan.place import SECRET_NAME

    for name in TRACKERS.own_names():
        assert all(SECRET_NAME.search(secret) for secret in TRACKERS.find(name).secrets)


FLASH = ("+experiment=llama8b_lora", "cluster=slurm", "model.attn_implementation=flash_attention_3")


def test_a_dry_run_notes_a_package_that_a_launch_would_be_refused_for(cli):
    done = cli(*FLASH, "dry_run=true", "--json")
    (note,) = json.loads(done.stdout)["notes"]
    assert note.startswith(
        "a launch is refused: model.attn_implementation=flash_attention_3 needs the package flash-attn-3"
    )


def test_a_launch_without_the_package_is_refused_before_anything_is_written(cli, tmp_path):
    done = cli(*FLASH)
    assert done.returncode == 1
    assert "flash-attn-3, which is not installed here; " in done.stderr
    assert "use model.attn_implementation=sdpa" in done.stderr
    assert not list(tmp_path.rglob("job.sbatch"))


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (["cluster.python=/site/python"], "for cluster.python=/site/python"),
        (
            ["cluster.container.runtime=apptainer", "cluster.container.image=a.sif"],
            "in the container (cluster.container.runtime=apptainer)",
        ),
    ],
)
def test_of_another_python_the_summary_says_that_it_cannot_be_known(cli, given, where):
    done = cli(*FLASH, "tracker=wandb", "dry_run=true", *given)
    assert done.stdout.count("it cannot be known here whether flash-attn-3, wandb can be imported") == 1
    assert where in done.stdout


def test_what_is_installed_needs_no_note(cli):
    notes = json.loads(cli("+experiment=tiny", "tracker=wandb", "dry_run=true", "--json").stdout)["notes"]
    assert not [note for note in notes if "wandb" in note]


@pytest.mark.long
def test_mlflow_names_what_it_does_not_get_and_a_run_without_an_end_goes_on_at_the_server(tmp_path, capfd):
    """A run that was killed, or waits to be continued, is not finished."""
    settings = {"learning_rate": 1e-4, "prompt": "x" * 501}
    run = Tracked(
        folder=tmp_path, name="mine", id="0" * 16, group=None, project="mine", attempt=1, settings=settings
    )
    mlflow, uri = TRACKERS.find("mlflow"), f"sqlite:///{tmp_path}/central.db"
    log = mlflow.open(run, {})
    log.write(1, {"loss": 2.0}, 1e9)
    assert "more than 500 characters; left out: prompt" in capfd.readouterr().err
    for end in ("RUNNING", "FINISHED"):
        if end == "FINISHED":
            log.finish()
        assert mlflow.send(tmp_path, mlflow.unsent(tmp_path), {"MLFLOW_TRACKING_URI": uri}) is None
        client = importlib.import_module("mlflow.tracking").MlflowClient(tracking_uri=uri)
        (sent,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
        assert sent.info.status == end
        assert list(sent.data.params) == ["learning_rate"] and sent.data.metrics == {"loss": 2.0}
