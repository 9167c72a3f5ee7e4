"""The job that serves a model: its script, what is refused before it is queued, and how it is found again and ended."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.run import RunDir

KEY = "0123456789abcdef0123"
ADDRESS = '{"job_id": "7", "host": "n1", "port": 4711, "model": "m"}'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A planned run with a model, on a cluster whose programs are stand-ins: job 7 runs until it is cancelled."""
    monkeypatch.chdir(tmp_path)
    words = [
        "+experiment=tiny",
        "cluster=slurm",
        "cluster.sbatch.account=abc",
        "dry_run=true",
        "data.check=off",
    ]
    assert main([*words, f"cache_dir={tmp_path}/cache", "+cluster.env.HF_HOME=/hub"]) == 0
    (plan,) = tmp_path.glob("runs/*/*/plan.json")
    found = RunDir(plan.parent)
    found.export.mkdir()
    (found.export / "config.json").write_text("{}")
    return found


@pytest.fixture
def typed(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of a verb on the run."""
    programs = {
        "sbatch": f"""echo 7; echo "$*" >> {tmp_path}/queued; echo '{ADDRESS}' > {run.path}/serve/address.json""",
        "squeue": f"""[ -e {tmp_path}/queued ] || exit 0
[ -e {tmp_path}/cancelled ] && {{ echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }}; echo '7|RUNNING'""",
        "scancel": f"touch {tmp_path}/cancelled",
    }
    (tmp_path / "bin").mkdir()
    for name, lines in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("LAUNCHER_API_KEY", KEY)
    capsys.readouterr()

    def typed(verb: str, *words: str) -> tuple[int, str, str]:
        code = main([verb, str(run.path), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed


def test_the_job_has_the_runs_cluster_settings_and_never_the_key(typed, run: RunDir):
    code, out, err = typed(
        "serve", "--job", "--time", "01:00:00", "--option", "partition=gpu", "--name", "it's", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["tunnel"].startswith("ssh -N -L 8000:n1:4711 ")
    script = (run.path / "serve" / "job.sbatch").read_text()
    for line in ("--account=abc", "--partition=gpu", "--time=01:00:00", "--nodes=1", "--no-requeue"):
        assert f"#SBATCH {line}\n" in script
    assert "export HF_HOME=/hub\n" in script and """--name 'it'"'"'s'""" in script
    assert KEY not in script and KEY not in out + err
    assert not run.job.exists()  # the run has no job of its own


def test_the_same_command_finds_the_job_and_cancel_ends_it_once(typed, run: RunDir, tmp_path: Path):
    first = typed("serve", "--job", "--port", "9000")
    assert first[0] == 0 and "http://127.0.0.1:9000/v1" in first[1] and "cancel" in first[1]
    again = typed("serve", "--job", "--port", "9000")
    assert again[:2] == first[:2] and "job 7 serves" in again[2]
    assert len((tmp_path / "queued").read_text().splitlines()) == 1
    assert "was cancelled" in typed("cancel", "--server")[1] and (tmp_path / "cancelled").exists()
    assert "is over already" in typed("cancel", "--server")[1]


def test_a_run_that_was_never_submitted_and_has_no_server_has_nothing_to_cancel(typed):
    assert "has no job that serves it" in typed("cancel", "--server")[2]
    assert "has no job to cancel" in typed("cancel")[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--job", "--option", "partitoin=x"], "did you mean cluster.sbatch.partition"),
        (["--job", "--option", "gpus=2"], "cluster.sbatch.gpus is decided by the plan"),
        (["--job", "--time", "1:99:00"], "--time 1:99:00: write minutes"),
        (["--job", "--host", "0.0.0.0"], "the server of a job listens on its node"),
        (["--job", "--gpus", "2"], "add --engine vllm"),
        (["--job", "--checkpoint", "4"], "has no checkpoint 4"),
        (["--time", "01:00:00"], "give --job too"),
        (["--for-job", "slurm"], "is for the script of a job"),
    ],
)
def test_what_no_job_can_do_is_refused_before_anything_is_queued(typed, tmp_path: Path, words, said: str):
    code, _, err = typed("serve", *words)
    assert code in (1, 2) and said in err, err
    assert not (tmp_path / "queued").exists()


def test_a_job_needs_a_key(typed, monkeypatch):
    monkeypatch.delenv("LAUNCHER_API_KEY")
    assert "there is no key" in typed("serve", "--job")[2]


def test_a_run_in_a_container_is_not_served_by_a_job(typed, run: RunDir, tmp_path: Path):
    text = run.config.read_text().replace("runtime: none", "runtime: apptainer")
    run.config.write_text(text.replace("image: null", "image: /x.sif"))
    assert "no job serves from a container" in typed("serve", "--job")[2]
    assert not (tmp_path / "queued").exists()


def test_a_run_without_a_model_is_refused_before_a_job_is_queued(typed, run: RunDir, tmp_path: Path):
    (run.export / "config.json").unlink()
    assert "has no model yet" in typed("serve", "--job")[2]
    assert not (tmp_path / "queued").exists()
