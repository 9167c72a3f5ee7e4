"""The files of a job's own output under the names that a site or a user gives them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.clusters.registry import find_cluster
from launcher.clusters.slurm import output
from launcher.launching.write import make_log_folders
from launcher.plan import LaunchPlan
from launcher.render import as_json
from launcher.run import RunDir
from launcher.run.events.launching import Submitted
from launcher.status.logs import log_files

NAMED = ("++cluster.sbatch.output=slurm/%x-%j.out", "++cluster.sbatch.error=%x-%j.err")


def test_names_reach_sbatch_as_typed_and_their_folder_is_made(
    plan: Callable[..., LaunchPlan], tmp_path: Path
):
    made = plan("+experiment=llama8b_lora", *NAMED)
    assert made.job_options["output"] == "slurm/%x-%j.out" and made.job_options["error"] == "%x-%j.err"
    header = find_cluster("slurm").header(made.job_options, "/runs/r/1")
    assert "#SBATCH --output=slurm/%x-%j.out" in header and "#SBATCH --chdir=/runs/r/1" in header
    make_log_folders(made, tmp_path)
    assert (tmp_path / "slurm").is_dir()


@pytest.mark.parametrize(
    ("name", "job_id", "pattern"),
    [
        ("%x-%j.out", "7", "r-7.out"),
        ("%6j.out", "7", "000007.out"),
        ("/shared/%x-%j.out", "7", "/shared/r-7.out"),
        ("%A_%a.out", "7_3", "7_3.out"),
        ("%j.out", "7_3", "*.out"),
        ("/shared/%x-%j.out", "7_3", None),
        ("%N.%u[1].out", "7", "*.*[[]1].out"),
        ("100%%.out", "7", "100%.out"),
        (output.DEFAULT, "7", None),
        ("/dev/null", "7", None),
    ],
)
def test_a_pattern_finds_the_files_of_its_own_jobs_alone(name: str, job_id: str, pattern: str | None):
    found = output.patterns({"output": name, "job-name": "r"}, [job_id])
    assert found == ([] if pattern is None else [pattern])


def test_the_tasks_of_an_array_share_no_file_unless_it_is_requested():
    assert output.of_an_array({"output": output.DEFAULT}) == {"output": output.DEFAULT_OF_AN_ARRAY}
    assert output.of_an_array({"output": "a-%j", "error": "b-%j"}) == {"output": "a-%j", "error": "b-%j"}


def test_logs_finds_the_named_files_of_every_job_of_the_run(plan: Callable[..., LaunchPlan], tmp_path: Path):
    run, made = RunDir(tmp_path / "r"), plan("+experiment=llama8b_lora", *NAMED)
    (run.path / "logs").mkdir(parents=True)
    run.plan.write_text(as_json({"cluster": "slurm", "job_options": made.job_options}))
    make_log_folders(made, run.path)
    for job_id in ("7", "8"):
        run.note(Submitted(attempt=0, job_id=job_id, cluster="slurm"))
    names = ("slurm/llama8b_lora-7.out", "slurm/llama8b_lora-8.out", "llama8b_lora-8.err")
    for name in (*names, "slurm/llama8b_lora-9.out", "logs/push.log"):
        (run.path / name).touch()
    found = [str(path.relative_to(run.path)) for path in log_files(run)]
    assert sorted(found) == sorted([*names, "logs/push.log"])
