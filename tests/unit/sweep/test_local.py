"""A sweep that trains on this machine: followed to its end, resumed after Ctrl-C, its best trial run again, trials together."""

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


@pytest.mark.long
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


def events(run: Path) -> list[str]:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [line["event"] for line in lines if line["event"] in ENDS]


ENDS = ("started", "ended", "finished", "pruned", "stopped")


@pytest.mark.long
def test_trials_that_share_a_base_are_ordinary_runs_and_the_next_trial_takes_a_free_lane(cache, tmp_path):
    typed = (
        "-m", "+experiment=tiny", "cluster=local", "resources.device=cpu", "data.check=off", "trainer.max_steps=2,5",
        "trainer.learning_rate=1e-3,1e-2", "sweep.together=2", f"cache_dir={cache}",
    )  # fmt: skip
    run(tmp_path, *typed, "--json")
    sweep = only(tmp_path)
    assert [trial.state for trial in sweep.trials] == ["finished"] * 4
    (group,) = sweep.path.glob("groups/*")
    assert [line for line in events(group) if line == "started"] == ["started"]  # one job for all of them
    for trial in sweep.trials:
        assert trial.run_dir is not None
        assert events(trial.run_dir) == ["started", "finished"]
        assert (trial.run_dir / "model" / "adapter_model.safetensors").is_file()
        status = json.loads(run(tmp_path, "status", str(trial.run_dir), "--json"))
        assert status["state"] == "finished" and status["attempts"] == 1
    listed = json.loads(run(tmp_path, "list", "--json"))
    assert len(listed) == 4


@pytest.mark.long
def test_a_trial_of_a_group_is_cancelled_alone_and_resumes_alone(cache, tmp_path):
    typed = (
        "-m", "+experiment=tiny", "cluster=local", "resources.device=cpu", "data.check=off", "data.eval_path=null",
        "trainer.max_steps=200", "trainer.learning_rate=1e-3,1e-2", "sweep.together=2", "sweep.objective=loss",
        f"cache_dir={cache}",
    )  # fmt: skip
    child = subprocess.Popen(
        command(*typed),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not all(list(tmp_path.glob(f"runs/tiny/sweep_*/{number}/metrics.jsonl")) for number in (0, 1)):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    (first,) = tmp_path.glob("runs/tiny/sweep_*/0")
    assert "goes on with the other trials" in run(tmp_path, "cancel", str(first))
    child.communicate(timeout=400)
    assert [trial.state for trial in only(tmp_path).trials] == ["cancelled", "finished"]
    assert events(first) == ["started", "ended", "stopped"]
    saved = max(path.name for path in first.glob("checkpoints/step_*"))
    steps = int(saved.removeprefix("step_"))
    run(tmp_path, "resume", str(first), f"cache_dir={cache}")
    lines = [json.loads(line) for line in (first / "events.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "resumed"] == [steps]
    assert events(first)[-1] == "finished" and not (first / "together.json").exists()
