"""`--clusters`: a login node of two real clusters, each with its own controller, behind one accounting database."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.runs import Finished, command

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long]

NEEDED = ("slurmctld", "slurmd", "munged", "slurmdbd", "mariadbd")


@pytest.fixture(scope="module")
def two() -> Iterator[Lab]:
    """Clusters lab (n1, n2) and other (n3)."""
    missing = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root, and make accounting-packages for {', '.join(missing) or 'nothing'}")
    one = Lab(Path("/tmp") / f"two-{os.getpid()}", SLAB_NET="10.85.0", SLAB_ACCT="1", SLAB_OTHER="1")
    one("up", "3")
    yield one
    one("down")
    shutil.rmtree(one.folder, ignore_errors=True)


def launch(two: Lab, folder: Path, cache: Path, *overrides: str, **shell: str) -> Finished:
    words = command(
        "+experiment=tiny", "cluster=slurm", "resources.device=cpu", f"cache_dir={cache}", "trainer.max_steps=2",
        "data.eval_path=null", "--json", *overrides,
    )  # fmt: skip
    done = two.run(*words, cwd=folder, check=True, **shell)
    return Finished(Path(json.loads(done.stdout)["run_dir"]))


def state(two: Lab, run: Finished) -> str:
    return json.loads(two.run(*command("status", str(run.path), "--json"), cwd=run.path).stdout)["state"]


@pytest.mark.parametrize(
    ("overrides", "shell"), [(("cluster.sbatch.clusters=other",), {}), ((), {"SBATCH_CLUSTERS": "other"})]
)
def test_a_run_on_the_other_cluster_trains_and_is_asked_about_there(two, cache, tmp_path, overrides, shell):
    run = launch(two, tmp_path, cache, *overrides, **shell)
    job = json.loads((run.path / "job.json").read_text())["job_id"]
    assert job.endswith(";other")
    two.wait(run, "finished")
    assert state(two, run) == "finished" and len(run.losses) == 2
    assert {path.stem for path in run.path.glob("logs/*_1/*.log")} == {"n3"}


def test_a_job_of_the_same_number_on_the_other_cluster_is_not_mistaken(two, cache, tmp_path):
    """Both controllers count their jobs from 1: the held one there and one here can have the same number."""
    held = launch(
        two, tmp_path, cache, "cluster.sbatch.clusters=other", "+cluster.sbatch.hold=true", "name=there"
    )
    number = json.loads((held.path / "job.json").read_text())["job_id"].partition(";")[0]
    while int(two.run("sbatch", "--parsable", "--wrap=true", cwd=tmp_path).stdout.strip()) < int(number):
        pass
    assert state(two, held) == "pending"
    status = json.loads(two.run(*command("status", str(held.path), "--json"), cwd=tmp_path).stdout)
    assert "JobHeld" in json.dumps(status)
    two.run(*command("cancel", str(held.path)), cwd=tmp_path)
    assert state(two, held) == "cancelled"
    left = two.run(
        "squeue", "--clusters=other", "--noheader", "--states=PENDING,RUNNING", cwd=tmp_path
    ).stdout
    assert "there" not in left


def test_a_submission_that_was_cut_is_found_on_the_other_cluster(two, cache, tmp_path):
    run = launch(
        two, tmp_path, cache, "cluster.sbatch.clusters=other", "+cluster.sbatch.hold=true", "name=cut"
    )
    job = json.loads((run.path / "job.json").read_text())["job_id"]
    (run.path / "job.json").unlink()
    (run.path / "events.jsonl").write_text("")
    (run.path / "intent.json").write_text('{"before": []}\n')
    refused = two.run(*command("resume", str(run.path)), cwd=tmp_path, check=False)
    assert f"pending as job {job}" in refused.stderr
    two.run(*command("cancel", str(run.path)), cwd=tmp_path)
