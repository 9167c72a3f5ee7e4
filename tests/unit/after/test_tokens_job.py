"""The job that makes a run's tokens: what is refused before it is queued, and what a cut submission says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main


@pytest.fixture
def typed(
    tmp_path: Path,
    commands: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Exit code and stderr of `data tokenize` with a fake sbatch."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: str, sbatch: str = "echo 1") -> tuple[int, str]:
        monkeypatch.setenv("PATH", str(commands(sbatch)))
        code = main(
            ["data", "tokenize", "+experiment=tiny", "cluster=slurm", f"cache_dir={tmp_path}/cache", *words]
        )
        return code, capsys.readouterr().err

    return typed


@pytest.mark.parametrize("time", ["x", "", "1:99:00", "-5"])
def test_a_time_that_no_job_can_have_is_refused_before_sbatch(typed, tmp_path: Path, time: str):
    code, said = typed("--queue", f"--time={time}", sbatch="exit 99")
    assert (code, said) == (2, f"launcher: --time {time}: write minutes, HH:MM:SS or D-HH:MM:SS\n")
    assert not (tmp_path / "cache").exists()


def test_after_a_cut_submission_the_job_is_to_be_looked_for_since_no_second_command_finds_it(typed):
    code, said = typed("--queue", "--time=10", sbatch="echo 'sbatch: error: Socket timed out' >&2; exit 1")
    assert code == 1 and "look in the queue for a job tokenize-tiny before you type it again" in said
    assert "it finds the job" not in said


@pytest.mark.parametrize("words", [(), ("--queue",)])
def test_a_cache_that_is_a_file_is_named_by_its_key(typed, tmp_path: Path, words: tuple[str, ...]):
    (tmp_path / "cache").write_text("mine")
    code, said = typed(*words, "cluster=local" if not words else "cluster=slurm")
    assert code == 1 and "launcher: cache_dir=" in said and "choose another folder" in said
    assert (tmp_path / "cache").read_text() == "mine"
