"""From a laptop to a real Slurm cluster: a real sshd on its login node, with sbatch and nodes behind it."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.resources import resource_dir
from tests.support.lab import Lab
from tests.support.paths import ROOT
from tests.support.runs import Finished
from tests.support.sshd import Login

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long]

PLUGIN = """
import dataclasses
from launcher.plugins.base import Plugin
@dataclasses.dataclass(frozen=True)
class Mine(Plugin):
    def on_trainer(self, trainer):
        print("this is the laptop's plugin", flush=True)
        return trainer
"""


@pytest.fixture
def login(lab: Lab, tmp_path: Path) -> Iterator[Login]:
    words = ["env", *(f"{name}={value}" for name, value in lab.settings.items() if name.startswith("SLAB"))]
    one = Login(
        tmp_path / "login", (*words, str(resource_dir("slurm") / "lab"), "exec"), reachable=False,
        path="/usr/bin:/bin:/usr/sbin:/sbin",
    )  # fmt: skip
    one.start()
    yield one
    one.stop()


def test_a_run_is_launched_followed_cancelled_resumed_and_fetched_from_a_laptop(lab, login, cache):
    def here(*words: str, code: int = 0) -> str:
        done = login.here(*words, cwd=project)
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    project = login.laptop / "project"
    project.mkdir()
    (project / "mine.py").write_text(PLUGIN)
    shutil.copy(ROOT / "conf/data/quickstart/train.jsonl", project / "mine.jsonl")
    typed = (
        "+experiment=tiny", "cluster=slurm", "cluster.ssh=login", "resources.device=cpu", f"cache_dir={cache}",
        "data.path=mine.jsonl", "data.eval_path=null",
        "trainer.max_steps=30", "plugins.sharded_checkpoint.save_steps=5", "+plugins.mine._target_=mine.Mine", "--json",
    )  # fmt: skip
    facts = json.loads(here("plan", *typed))
    assert facts["cluster"] == "slurm"
    told = json.loads(here(*typed))
    run = Finished(Path(told["run_dir"]))  # of the cluster, whose file system is that of this machine
    assert run.path.is_relative_to(login.home / "launcher" / "runs")
    (project / "mine.py").write_text("this is no Python any more (")
    lab.wait(run, "saved")
    status = json.loads(here("status", "tiny", "--json"))
    assert (status["state"], status["job_id"]) == ("running", lab.job(run))
    (listed,) = json.loads(here("list", "--ask", "--json"))
    assert (listed["state"], listed["run"]) == ("running", told["run"])
    assert "on login" in here("list")
    assert "this is the laptop's plugin" in here("logs", "tiny")

    here("cancel", "tiny")
    deadline = time.monotonic() + 60  # its ranks save first
    while (listed := json.loads(here("list", "--ask", "--json"))[0]["state"]) != "cancelled":
        assert time.monotonic() < deadline, listed
    reached = run.metrics()[-1]["step"]
    assert reached < 30
    here("resume", "tiny")
    assert "this is the laptop's plugin" in here("logs", "-f", "tiny")  # until the run is over
    here("follow", "tiny")
    assert json.loads(here("status", "tiny", "--json"))["state"] == "finished"
    assert run.metrics()[-1]["step"] == 30 and run.events("resumed")[-1]["step"] >= 5

    brought = json.loads(here("fetch", "tiny", "--json"))
    folder = project / "runs" / told["run"]
    assert Path(brought["run_dir"]) == folder
    assert (folder / "model" / "adapter_model.safetensors").read_bytes() == (
        run.path / "model" / "adapter_model.safetensors"
    ).read_bytes()
    assert not (folder / "checkpoints").exists()
    here("remove", "tiny", "--yes")
    assert not run.path.exists()
