"""The command as a person types it, with a fake sbatch on PATH."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.launching.launch import launch, plan_launch
from tests.support import preloaded

Cli = Callable[..., subprocess.CompletedProcess[str]]

COUNTING = """#!/bin/sh
echo "$@" >> "$CALLS"
echo $(( 100 + $(wc -l < "$CALLS") ))
"""
SECRETS = {
    "HF_TOKEN": "hf_neverwrittendown",
    "WANDB_API_KEY": "wandb_neverwrittendown",
    "OPENAI_API_KEY": "sk-neverwrittendown",
}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command in tmp_path/work, with an sbatch that counts its calls."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(COUNTING)
    sbatch.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    settings = {
        **clean,
        **SECRETS,
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
    }

    def cli(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return preloaded.run(arguments, tmp_path / "work", {**settings, **more})

    return cli


def test_a_dry_run_writes_every_file_submits_nothing_and_says_what_would(cli, tmp_path):
    done = cli("+experiment=llama70b_lora_zero3", "cluster=slurm", "dry_run=true", "freeze=false", "--json")
    summary = json.loads(done.stdout)
    run = Path(summary["run_dir"])
    assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == {
        ".hydra/overrides.yaml", "config.yaml", "plan.json", "accelerate.yaml", "deepspeed.json", "job.sbatch", "node.sh",
        "data_check.json", "events.jsonl",
    }  # fmt: skip
    assert (run / "logs").is_dir()
    assert summary["command"] == f"sbatch --parsable {run}/job.sbatch"
    assert not (tmp_path / "calls").exists()
    assert json.loads(cli("status", "--json").stdout)["state"] == "planned"


def test_a_launch_submits_its_script_once_and_notes_the_id(cli, tmp_path):
    done = cli("+experiment=llama70b_qlora")
    assert done.returncode == 0, done.stderr
    run = next((tmp_path / "work" / "runs" / "llama70b_qlora").iterdir())
    assert (tmp_path / "calls").read_text() == f"--parsable {run}/job.sbatch\n"
    assert json.loads((run / "job.json").read_text())["job_id"] == "101"
    assert "2 nodes x 8 GPUs" in done.stdout and "python -m launcher follow" in done.stdout


def test_a_multirun_submits_all_trials_as_one_array_and_returns(cli, tmp_path):
    done = cli("-m", "+experiment=llama8b_lora", "trainer.learning_rate=1e-4,2e-4", "plugins.lora.r=8,16")
    assert done.returncode == 0, done.stderr
    sweep = next((tmp_path / "work" / "runs" / "llama8b_lora").iterdir())
    assert sweep.name.startswith("sweep_")
    assert (tmp_path / "calls").read_text() == f"--parsable {sweep}/job.sbatch\n"
    assert len((sweep / "trials.jsonl").read_text().splitlines()) == 4
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["runs"]


def test_two_launches_that_chose_the_same_folder_both_go_ahead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (composed,) = compose(["+experiment=tiny", "cluster=slurm", "dry_run=true"])
    moment = datetime.now()
    both = [plan_launch(composed, moment), plan_launch(composed, moment)]
    launched = [launch(planned, lambda one: None) for planned in both]
    assert all(one.dry_run and one.run.plan.is_file() for one in launched)
    plans = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "tiny").glob("*/plan.json")]
    assert len({plan["facts"]["run_dir"] for plan in plans}) == 2


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(cli, tmp_path):
    (tmp_path / "work" / "runs").write_text("a file")
    done = cli("+experiment=tiny", "cluster=slurm")
    assert done.returncode == 1
    assert re.fullmatch(r"(launcher: warning: [^\n]*\n)*launcher: runs_dir=[^\n]*\n", done.stderr)


@pytest.mark.parametrize("words", [[], ["-m", "seed=1,2"], ["plan"]])
def test_gpus_without_cores_are_warned_of_once_at_a_launch_a_sweep_and_a_plan(cli, words: list[str]):
    done = cli(*words, "+experiment=tiny", "cluster=slurm", "dry_run=true")
    (said,) = [line for line in done.stderr.splitlines() if "resources.cpus_per_gpu=null" in line]
    assert said.startswith("launcher: warning: ")
    assert done.returncode == 0


def test_a_dry_run_tells_a_person_what_would_submit_it(cli):
    done = cli("+experiment=llama8b_lora", "dry_run=true")
    assert re.search(r"^dry run +nothing was submitted$", done.stdout, re.MULTILINE)
    assert re.search(r"^submit with +sbatch --parsable /\S+/job\.sbatch$", done.stdout, re.MULTILINE)


def test_planning_writes_nothing(cli, tmp_path):
    assert cli("plan", "+experiment=llama8b_lora").returncode == 0
    assert not list((tmp_path / "work").iterdir())


def test_a_dry_run_inside_an_allocation_stays_in_it(cli):
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}
    summary = json.loads(cli("+experiment=tiny", "dry_run=true", "--json", **job).stdout)
    assert summary["cluster"] == "allocation"
    assert summary["command"] == f"bash {summary['run_dir']}/job.sbatch"


def test_options_may_stand_among_the_overrides(cli, tmp_path):
    assert cli("+experiment=tiny", "cluster=slurm", "-m", "seed=1,2", "dry_run=true").returncode == 0
    (trials,) = (tmp_path / "work").glob("runs/tiny/sweep_*/trials.jsonl")
    assert len(trials.read_text().splitlines()) == 2


def test_runs_of_the_same_second_get_folders_of_their_own(cli, tmp_path):
    for _ in range(3):
        assert cli("+experiment=tiny", "cluster=slurm").returncode == 0
    runs = list((tmp_path / "work" / "runs" / "tiny").iterdir())
    assert len(runs) == 3


def test_an_sbatch_that_refuses_is_quoted_in_one_line(cli, tmp_path):
    (tmp_path / "bin" / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n"
    )
    done = cli("+experiment=tiny", "cluster=slurm")
    assert done.returncode == 1
    assert re.fullmatch(
        r"(launcher: warning: [^\n]*\n)*launcher: [^\n]*invalid partition[^\n]*\n", done.stderr
    )


def test_auto_takes_the_allocation_then_slurm_then_this_machine(cli, tmp_path):
    def cluster(**more: str) -> str:
        return json.loads(cli("plan", "+experiment=tiny", "--json", **more).stdout)["cluster"]

    assert cluster(SLURM_JOB_ID="7", SLURM_JOB_NUM_NODES="1") == "allocation"
    assert cluster() == "slurm"
    (tmp_path / "empty").mkdir()
    assert cluster(PATH=str(tmp_path / "empty")) == "local"


def test_a_reader_that_leaves_early_ends_a_command_without_a_traceback(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "rules"],
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (Exit.PIPE_CLOSED, "")


def test_another_pipe_that_breaks_is_not_taken_for_the_readers(cli, tmp_path):
    (tmp_path / "work" / "mine.py").write_text(
        "from launcher.plugins.base import Plugin\n"
        "class Breaks(Plugin):\n"
        "    def on_plan(self, plan):\n"
        "        raise BrokenPipeError('a worker is gone')\n"
    )
    done = cli("plan", "+experiment=tiny", "+plugins.mine._target_=mine.Breaks")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "BrokenPipeError: a worker is gone"


def test_no_secret_is_written_or_printed(cli, tmp_path):
    done = cli("+experiment=llama8b_lora", "tracker=wandb")
    said = done.stdout + done.stderr
    written = "".join(path.read_text() for path in (tmp_path / "work").rglob("*") if path.is_file())
    assert done.returncode == 0
    assert "neverwrittendown" not in said + written


def test_a_plugin_of_ones_own_changes_the_plan(cli, tmp_path):
    (tmp_path / "work" / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from launcher.plugins.base import Plugin\n"
        "class Longer(Plugin):\n"
        "    def on_plan(self, plan):\n"
        "        return replace(plan, rank_starter='accelerate')\n"
    )
    done = cli("plan", "+experiment=tiny", "+plugins.mine._target_=mine.Longer", "--json")
    assert json.loads(done.stdout)["rank_starter"] == "accelerate"


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("export", "tiny"), 1, "has no model yet"),
        (("export", "tiny", "--checkpoint", "7"), 1, "no checkpoint 7; committed steps: none"),
        (("export", "tiny", "--checkpoint", "last"), 2, "must be a step"),
        (("evaluate", "tiny", "--data", "nowhere.jsonl"), 1, "nowhere.jsonl is not a file"),
        (("evaluate", "tiny", "--data", "nowhere.jsonl", "--metrics", "los"), 2, "did you mean loss"),
        (("chat", "tiny", "--prompt", "a", "--temperature", "9"), 2, "must be from 0 to 5"),
        (("chat", "tiny", "--prompt", ""), 2, "there is no question"),
        (("chat", "tiny", "--prompt", "a"), 1, "has no model yet"),
        (("sync", "tiny", "--all"), 2, "name a run, or give --all"),
    ],
)
def test_what_cannot_be_done_after_training_is_told_at_once(cli, arguments, code, why):
    cli("+experiment=tiny", "cluster=local", "dry_run=true")
    done = cli(*arguments)
    assert done.returncode == code and why in done.stderr
    assert len(done.stderr.splitlines()) == 1
