"""A launch that is killed at any point and typed again: one job, never none, never two."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from launcher.resources import resource_dir
from tests.cluster.killing import jobs, kill_within
from tests.support.runs import command, environment

pytestmark = pytest.mark.slurm


def typed(name: str, *further: str) -> list[str]:
    """A launch whose job stays in the queue."""
    return command(
        "+experiment=tiny",
        "cluster=slurm",
        "resources.device=cpu",
        f"name={name}",
        "+cluster.sbatch.hold=true",
        *further,
        "--json",
    )


def test_a_launch_killed_at_any_point_and_typed_again_queues_one_job(lab, tmp_path, request):
    dice = random.Random(7)
    wanted = request.config.getoption("--submit-kills")
    launches = cut = found = 0
    while cut < wanted or not found:
        name = f"kill{launches}"
        launches += 1
        assert launches < 10 * wanted, "the kills come too late"
        said = kill_within(
            lab, tmp_path, typed(name), dice, life_s=1.0, sign=f"runs/{name}/*/intent.json", after_s=0.03
        )
        queued = jobs(lab, tmp_path, name)
        if said.endswith("}\n"):
            told = json.loads(said)["job_id"]  # nobody would type it again
        else:
            cut += 1
            found += bool(queued)
            told = json.loads(lab.run(*typed(name), cwd=tmp_path).stdout)["job_id"]
        assert jobs(lab, tmp_path, name) == [told]
        assert len(list(tmp_path.glob(f"runs/{name}/*/job.json"))) == 1
        lab.run("scancel", f"--name={name}", cwd=tmp_path)
    print(f"{cut} of {launches} launches were cut, {found} of them after their job was queued")


def test_resume_and_cancel_find_the_job_of_a_submit_that_was_cut(lab, tmp_path):
    told = json.loads(lab.run(*typed("cut", "+cluster.sbatch.comment=account 7"), cwd=tmp_path).stdout)
    comment = lab.run("squeue", "--noheader", "--name=cut", "--format=%k", cwd=tmp_path).stdout
    assert comment.strip() == "account 7"
    run = Path(told["run_dir"])
    (run / "job.json").unlink()
    (run / "events.jsonl").write_text("")
    (run / "intent.json").write_text('{"before": []}\n')
    status = json.loads(lab.run(*command("status", str(run), "--json"), cwd=tmp_path).stdout)
    assert status["state"] == "planned"
    assert "submission was interrupted" in status["note"]
    refused = lab.run(*command("resume", str(run)), cwd=tmp_path, check=False)
    assert f"pending as job {told['job_id']}" in refused.stderr
    assert not (run / "intent.json").exists()
    lab.run(*command("cancel", str(run)), cwd=tmp_path)
    assert jobs(lab, tmp_path, "cut") == []


def test_two_launches_of_one_command_at_once_are_two_runs(lab, tmp_path):
    both = [
        subprocess.Popen(
            [str(resource_dir("slurm") / "lab"), "exec", *typed("twice")], cwd=tmp_path,
            env=environment(**lab.settings), stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = [json.loads(launch.communicate(timeout=120)[0]) for launch in both]
    assert len({one["run_dir"] for one in told}) == 2
    assert sorted(jobs(lab, tmp_path, "twice")) == sorted(one["job_id"] for one in told)
    lab.run("scancel", "--name=twice", cwd=tmp_path)
