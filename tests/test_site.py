"""A site's own cluster file, through --config-dir."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).parent / "site"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("site")
    command = ["+experiment=tiny", "--config-dir", str(SITE), "cluster=mysite", "dry_run=true", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "launcher", *command], cwd=folder, capture_output=True, text=True, check=True
    )
    run = Path(json.loads(done.stdout)["run_dir"])
    return {name: (run / name).read_text() for name in ("job.sbatch", "node.sh")}


@pytest.mark.parametrize(
    "line",
    [
        "#SBATCH --partition=gpu",
        "#SBATCH --account=abc123",
        "#SBATCH --qos=long",
        "#SBATCH --constraint=h100&ib",
        "#SBATCH --exclusive",
        "#SBATCH --gres=gpu:1",
        "module load gcc/13",
        "module load cuda/13.0",
        "source /opt/site/env.sh",
        "ulimit -l unlimited",
    ],
)
def test_what_the_site_sets_stands_in_the_job_script(scripts, line):
    assert line in scripts["job.sbatch"].splitlines()


def test_environment_and_container_stand_in_the_node_script(scripts):
    assert "export NCCL_SOCKET_IFNAME=ib0" in scripts["node.sh"]
    assert "exec apptainer exec --nv --bind" in scripts["node.sh"]
    assert "/images/launcher.sif python3 -m launcher.supervise.node ." in scripts["node.sh"]


def test_more_gpus_than_the_site_says_a_node_has_are_refused(tmp_path):
    command = [
        "plan",
        "+experiment=tiny",
        "--config-dir",
        str(SITE),
        "cluster=mysite",
        "resources.gpus_per_node=8",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "launcher", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "resources.nodes=2 resources.gpus_per_node=4" in done.stderr
