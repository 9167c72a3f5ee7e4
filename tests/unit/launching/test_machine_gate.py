"""A machine without GPU and Slurm: what is planned for a queue, what is refused, and what is said about CPU ranks."""

import json
from collections.abc import Callable

import pytest

from launcher.__main__ import main

LAPTOP = "this machine has no GPU"


@pytest.fixture
def laptop(tmp_path, monkeypatch, commands, capfd) -> Callable[..., tuple[int, str, str]]:
    """The exit code, stdout and stderr of a command where there is no Slurm, GPU or allocation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(commands()))
    for name in ("SLURM_JOB_ID", "SLURM_JOBID"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        return code, *capfd.readouterr()

    return run


@pytest.mark.parametrize(
    ("typed", "cluster", "device"),
    [
        (["+experiment=llama8b_lora"], "slurm", "cuda"),
        (["+experiment=llama70b_qlora", "resources.nodes=4"], "slurm", "cuda"),
        (["+experiment=tiny", "resources.nodes=2"], "slurm", "cuda"),
        (["+experiment=tiny"], "local", "cpu"),
        (["+experiment=tiny", "cluster=slurm"], "slurm", "cuda"),
        (["+experiment=llama8b_lora", "resources.device=cpu"], "local", "cpu"),
    ],
)
def test_a_laptop_plans_for_the_cluster_that_a_run_needs(laptop, typed, cluster, device):
    code, out, err = laptop("plan", "--json", *typed)
    plan = json.loads(out)
    assert (code, plan["cluster"], plan["device"]) == (0, cluster, device)
    moved = cluster == "slurm" and "cluster=slurm" not in typed
    assert ("so it is planned for Slurm" in err) is moved
    assert any("so it is planned for Slurm" in note for note in plan["notes"]) is moved


def test_a_dry_run_for_slurm_needs_no_sbatch_and_a_launch_says_what_to_do(laptop):
    code, out, _ = laptop("+experiment=llama8b_lora", "cluster=slurm", "dry_run=true", "--json")
    assert code == 0 and json.loads(out)["command"].startswith("sbatch ")
    code, out, err = laptop("+experiment=llama8b_lora", "cluster=slurm")
    assert (code, out) == (1, "") and "dry_run=true" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["-m", "seed=1,2"], ["dry_run=true"], ["cluster=local"]])
def test_a_large_model_on_a_machine_without_gpu_is_refused_with_the_ways_out(laptop, words):
    code, out, err = laptop("+experiment=llama8b_lora", *words)
    assert (code, out) == (1, "") and len(err.splitlines()) == 1
    assert LAPTOP in err
    for way_out in ("cluster=slurm", "a smaller model such as", "resources.device=cpu"):
        assert way_out in err


@pytest.mark.parametrize("words", [[], ["-m", "seed=1,2"]])
def test_a_dry_run_for_this_machine_says_nothing_of_a_queue(laptop, tmp_path, words):
    code, out, _ = laptop("+experiment=tiny", "dry_run=true", *words)
    assert code == 0 and "nothing was started" in out and "start with  bash " in out and "submit" not in out
    scripts = [path.read_text() for path in tmp_path.rglob("job.sbatch")]
    assert scripts and not any("`sbatch" in script for script in scripts)


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        (["+experiment=tiny"], "notes"),
        (["+experiment=tiny", "resources.gpus_per_node=2"], "warnings"),
        (["+experiment=tiny", "resources.gpus_per_node=2", "resources.device=cpu"], None),
    ],
)
def test_cpu_ranks_that_the_user_did_not_choose_are_reported(laptop, typed, place):
    code, out, _ = laptop("dry_run=true", "--json", *typed)
    told = json.loads(out)
    assert code == 0
    found = [name for name in ("notes", "warnings") if any(LAPTOP in one for one in told[name])]
    assert found == ([place] if place else [])
