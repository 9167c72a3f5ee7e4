"""Trials on one base model in one job of the real cluster, which is queued again in the middle."""

import json
import time
from pathlib import Path

import pytest

from launcher.sweep.read import read_sweep
from tests.support.lab import Lab
from tests.support.runs import Finished, command

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.timeout(900)]

TYPED = (
    "-m", "+experiment=tiny", "cluster=slurm", "resources.device=cpu", "data.check=off", "data.eval_path=null",
    "trainer.max_steps=60", "plugins.sharded_checkpoint.save_steps=5", "trainer.learning_rate=1e-3,1e-2,3e-3",
    "sweep.objective=loss", "sweep.together=3",
)  # fmt: skip


@pytest.mark.long
def test_a_group_that_is_queued_again_resumes_every_trial(lab: Lab, cache: Path, tmp_path: Path):
    told = json.loads(lab.run(*command(*TYPED, f"cache_dir={cache}", "--json"), cwd=tmp_path).stdout)
    assert told["together"]["trials"] == 3 and len(told["job_ids"]) == 1
    sweep = Path(told["sweep_dir"])
    wait(lambda: all(list((sweep / str(number)).glob("checkpoints/step_*")) for number in range(3)), sweep)
    lab.run("scontrol", "requeue", told["job_ids"][0], cwd=tmp_path)
    wait(lambda: all(trial.ended for trial in read_sweep(sweep).trials), sweep)
    assert [trial.state for trial in read_sweep(sweep).trials] == ["finished"] * 3
    (group,) = sweep.glob("groups/*")
    for number in range(3):
        run = Finished(sweep / str(number))
        assert len(run.events("started")) == 2 and len(run.events("resumed")) == 1
        assert run.events("requeued") and run.events("finished")
        assert {one["job_id"].partition("_")[0] for one in run.events("started")} == {told["job_ids"][0]}
    assert len(Finished(group).events("started")) == 2


def wait(true, sweep: Path, timeout_s: float = 400) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        logs = "\n".join(one.read_text(errors="replace")[-3000:] for one in sweep.rglob("*.log"))
        assert time.monotonic() < deadline, logs
        time.sleep(0.5)
