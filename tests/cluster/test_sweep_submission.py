"""A sweep that is killed at any point of its submit and typed again: one folder, one array, every trial once."""

import json
import random
from pathlib import Path

import pytest

from launcher.sweep.read import read_sweep
from tests.cluster.killing import jobs, kill_within
from tests.support.runs import command

pytestmark = pytest.mark.slurm
TRIALS = 6


def typed(name: str) -> list[str]:
    """A sweep whose array stays in the queue."""
    return command(
        "-m", "+experiment=tiny", "cluster=slurm", "resources.device=cpu", f"name={name}", "+cluster.sbatch.hold=true",
        "data.check=off", "seed=range(3)", "plugins.lora.r=2,4", "--json",
    )  # fmt: skip


def test_a_sweep_killed_at_any_point_and_typed_again_queues_every_trial_once(lab, tmp_path, request):
    dice = random.Random(11)
    wanted = request.config.getoption("--sweep-kills")
    launches = cut = found = 0
    while cut < wanted or not found:
        name = f"cut{launches}"
        launches += 1
        assert launches < 10 * wanted, "the kills come too late"
        said = kill_within(
            lab,
            tmp_path,
            typed(name),
            dice,
            life_s=3.0,
            sign=f"runs/{name}/sweep_*/**/intent.json",
            after_s=0.1,
        )
        before = jobs(lab, tmp_path, name)
        if said.endswith("}\n"):
            told = json.loads(said)
        else:
            cut += 1
            found += bool(before)
            told = json.loads(lab.run(*typed(name), cwd=tmp_path).stdout)
        queued = lab.run(
            "squeue", "-h", "--array", f"--name={name}", "--format=%F_%K", cwd=tmp_path
        ).stdout.split()
        assert sorted(queued) == [f"{told['job_ids'][0]}_{index}" for index in range(TRIALS)]
        assert len(told["job_ids"]) == 1
        sweeps = list(tmp_path.glob(f"runs/{name}/sweep_*/sweep.json"))
        assert [str(path.parent) for path in sweeps] == [told["sweep_dir"]]
        assert len(read_sweep(Path(told["sweep_dir"])).trials) == TRIALS
        lab.run("scancel", f"--name={name}", cwd=tmp_path)
    print(f"{cut} of {launches} sweeps were cut, {found} of them after their array was queued")


def test_the_same_sweep_typed_twice_is_two_sweeps(lab, tmp_path):
    told = [json.loads(lab.run(*typed("twice"), cwd=tmp_path).stdout) for _ in range(2)]
    assert len({one["sweep_dir"] for one in told}) == 2
    assert len({one["job_ids"][0] for one in told}) == 2
    lab.run("scancel", "--name=twice", cwd=tmp_path)
