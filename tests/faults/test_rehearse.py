"""python -m launcher rehearse: what it reports is what happened."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.runs import Finished, command, environment
from tests.support.shapes import check_printed

pytestmark = pytest.mark.train


def rehearse(folder: Path, cache: Path, *words: str) -> tuple[int, dict]:
    arguments = command("rehearse", "+experiment=tiny", "--json", f"cache_dir={cache}", *words)
    done = subprocess.run(
        arguments, cwd=folder, env=environment(), capture_output=True, text=True, timeout=400
    )
    assert done.stdout, done.stderr
    check_printed(arguments[arguments.index("rehearse") :], done.stdout)
    return done.returncode, json.loads(done.stdout)


def test_a_run_on_this_machine_survives_what_can_be_done_to_it_here(tmp_path, cache):
    code, told = rehearse(tmp_path, cache, "cluster=local", "name=real")
    assert {check["name"]: check["passed"] for check in told["checks"]} == {
        "start": True, "kill": True, "time limit": True, "requeue": None, "cancel": True,
    }, told  # fmt: skip
    assert (code, told["passed"]) == (0, True)
    assert told["run"].startswith("rehearse-real/")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["rehearse-real"]
    run = Finished(Path(told["run_dir"]))
    ends = [(event["how"], event["exit_code"]) for event in run.events("ended")]
    assert ends == [("crashed", 137), ("shut_down", 0), ("shut_down", 0)]


@pytest.mark.long
@pytest.mark.slurm
def test_a_run_in_slurms_queue_is_killed_signalled_requeued_and_cancelled(lab: Lab, cache, tmp_path):
    words = command(
        "rehearse", "+experiment=tiny", "cluster=slurm", "resources.device=cpu", "resources.nodes=2", f"cache_dir={cache}",
        "batch.micro_batch_size=1", "--json",
    )  # fmt: skip
    told = json.loads(lab.run(*words, cwd=tmp_path).stdout)
    assert all(check["passed"] for check in told["checks"]) and len(told["checks"]) == 5, told
    run = Finished(Path(told["run_dir"]))
    assert [event["why"] for event in run.events("told")] == ["time limit", "pre-empted", "cancelled"]
    assert [event["how"] for event in run.events("ended")] == [
        "crashed",
        "shut_down",
        "shut_down",
        "shut_down",
    ]
    assert len({event["job_id"] for event in run.events("started")}) == 1
    assert not lab.run("squeue", "--noheader", cwd=tmp_path).stdout


def test_a_run_that_cannot_continue_fails_its_rehearsal(tmp_path, cache):
    """The ranks refuse to start a second time."""
    (tmp_path / "once.py").write_text(
        "from dataclasses import dataclass\nfrom pathlib import Path\nfrom launcher.plugins.base import Plugin\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Once(Plugin):\n    def on_trainer(self, trainer):\n"
        "        Path('begun').touch(exist_ok=False)\n        return trainer\n"
    )
    code, told = rehearse(tmp_path, cache, "cluster=local", "+plugins.once._target_=once.Once")
    assert (code, told["passed"]) == (3, False)
    assert [check["passed"] for check in told["checks"]] == [True, False, False, False, False]
    assert "FileExistsError" in told["checks"][1]["said"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["'plugin=[lora]'"], 1, "plugin has no sharded_checkpoint"),
        (["seed=1,2", "-m"], 1, "rehearse takes one run; give one value for each key, and leave -m out"),
        (["--time", "soon"], 1, "'soon' is not a Slurm time"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(cli, words, code, said):
    done = cli("rehearse", "+experiment=tiny", "cluster=local", *(word.strip("'") for word in words))
    assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == 1
