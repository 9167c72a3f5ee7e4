"""A site's own cluster file, through --config-dir."""

import json
import shlex
from pathlib import Path

import pytest

from launcher.clusters.registry import CLUSTERS
from tests.support.paths import SITE

MYSITE = ("+experiment=tiny", "--config-dir", str(SITE), "cluster=mysite")


@pytest.fixture
def scripts(cli) -> dict[str, str]:
    """The scripts of a dry run at the site."""
    done = cli(*MYSITE, "dry_run=true", "--json", sbatch="echo submitted >&2; exit 1")
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run_dir"])
    return {name: (run / name).read_text() for name in ("job.sbatch", "node.sh")}


def test_every_sbatch_option_of_the_site_stands_in_the_job_script(scripts: dict[str, str]):
    directives = {line for line in scripts["job.sbatch"].splitlines() if line.startswith("#SBATCH")}
    assert directives >= {
        "#SBATCH --partition=gpu",
        "#SBATCH --account=abc123",
        "#SBATCH --qos=long",
        "#SBATCH --constraint=h100&ib",
        "#SBATCH --exclusive",
        "#SBATCH --gres=gpu:1",
    }
    assert not [line for line in directives if "gpus-per-node" in line]


def test_modules_come_before_setup_and_both_before_the_supervisor(scripts: dict[str, str]):
    commands = scripts["job.sbatch"].splitlines()
    order = ["module load gcc/13", "module load cuda/13.0", "source /opt/site/env.sh", "ulimit -l unlimited"]
    places = [commands.index(command) for command in order]
    assert places == sorted(places)
    assert places[-1] < next(place for place, line in enumerate(commands) if "launcher.supervise ." in line)


def test_the_site_s_environment_reaches_every_node(scripts: dict[str, str]):
    lines = scripts["node.sh"].splitlines()
    assert {"export NCCL_SOCKET_IFNAME=ib0", "export HF_HOME=/scratch/huggingface"} <= set(lines)


def test_the_ranks_start_in_the_site_s_container(scripts: dict[str, str]):
    words = shlex.split(scripts["node.sh"].strip().splitlines()[-1])
    assert words[:4] == ["exec", "apptainer", "exec", "--nv"]
    assert words[words.index("/scratch") - 1] == "--bind"
    starter = ["/images/launcher.sif", "python3", "-m", "launcher.supervise.agent", "."]
    assert words[-len(starter) :] == starter


def test_a_plan_for_the_site_names_slurm_and_its_command(cli):
    done = cli("plan", *MYSITE, "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["cluster"] == "slurm"
    assert plan["command"].startswith("sbatch --parsable ")


def test_the_command_line_has_the_last_word_over_the_site(cli):
    done = cli("plan", *MYSITE, "cluster.sbatch.qos=short", "cluster.container.runtime=none", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["job_options"]["qos"], plan["job_options"]["partition"]) == ("short", "gpu")
    assert plan["container_command"] == []


def test_more_gpus_than_a_node_of_the_site_has_are_refused(cli):
    done = cli("plan", *MYSITE, "resources.gpus_per_node=8", "batch.global_batch_size=16")
    assert done.returncode == 1
    assert "resources.nodes=2 resources.gpus_per_node=4" in done.stderr


def test_a_place_that_the_site_does_not_have_is_refused_with_the_known_ones(cli):
    done = cli("plan", "+experiment=tiny", "--config-dir", str(SITE), "cluster=mysit")
    assert done.returncode == 1
    assert "did you mean mysite?" in done.stderr


def test_every_module_beside_the_base_class_is_a_cluster():
    assert {cluster.name for cluster in CLUSTERS.all()} == set(CLUSTERS.own_names())
