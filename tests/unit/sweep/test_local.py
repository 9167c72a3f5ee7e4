"""A sweep that trains on this machine: followed to its end, resumed after Ctrl-C, and its best trial run again."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from launcher.sweep.read import Sweep, read_sweep
from tests.support import preloaded
from tests.support.runs import command, environment

pytestmark = pytest.mark.train
TYPED = (
    "-m", "+experiment=tiny", "cluster=local", "resources.device=cpu", "data.check=off", "trainer.max_steps=2",
    "trainer.learning_rate=1e-3,1e-2", "--json",
)  # fmt: skip


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    done = preloaded.run(arguments, folder, environment(), timeout_s=500)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def only(folder: Path) -> Sweep:
    (path,) = folder.glob("runs/tiny/sweep_*")
    return read_sweep(path)


def test_a_sweep_stopped_by_ctrl_c_is_resumed_and_its_best_trial_runs_again(cache, tmp_path):
    child = subprocess.Popen(
        command(*TYPED, f"cache_dir={cache}"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("runs/tiny/sweep_*/0/lease.json")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=120)
    assert child.returncode == 130
    assert [trial.state for trial in only(tmp_path).trials] == ["cancelled", "waiting"]

    resumed = json.loads(run(tmp_path, "sweep", "resume", "--json").splitlines()[0])
    assert resumed["trials"] == [0, 1]
    sweep = only(tmp_path)
    assert [trial.state for trial in sweep.trials] == ["finished", "finished"]
    assert sweep.best is not None and sweep.best.value == min(trial.value or 99 for trial in sweep.trials)
    assert "nothing to resume" in preloaded.run(("sweep", "resume"), tmp_path, environment()).stderr

    best = json.loads(run(tmp_path, "sweep", "best", "--json"))
    site = Path(best["experiment"]).parent.parent
    again = run(
        tmp_path, "plan", "--config-dir", str(site), "+experiment=tiny_best", "cluster=local", "resources.device=cpu", "--json"
    )  # fmt: skip
    planned = json.loads((sweep.path / str(best["trial"]) / "plan.json").read_text())
    for part in ("trainer_args", "topology", "batch", "strategy", "model", "adapter", "save"):
        assert json.loads(again)[part] == planned[part]
