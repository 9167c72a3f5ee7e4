"""What a probe concludes from the answers of Slurm's commands, and which values of a cluster file are no longer true."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml

from launcher.clusters.registry import find_cluster
from launcher.clusters.site_check import faults, refusal
from launcher.clusters.site_facts import Partition
from launcher.clusters.site_file import render, write_new
from launcher.clusters.site_here import faults_here
from launcher.clusters.slurm.probe import choose, partitions
from launcher.config import ClusterConfig, ContainerConfig, ContainerRuntime
from launcher.errors import ClusterError, ConfigError, PlanError

SINFO = """cpu*|up|2-00:00:00|200|128|256000|(null)|rome
gpu|up|1-00:00:00|40|64|512000|gpu:a100:4(S:0-1),nvme:1600|a100,nvlink
gpu|up|1-00:00:00|4|128+|1024000|gpu:h100:8|h100,nvlink
mig|up|infinite|2|32|256000|gpu:3g.40gb:8(S:0)|(null)
whole|down|1:00:00|9|96|96000|(null)|(null)
"""
ANSWERS = {
    "sinfo": f'[ "$1" = --version ] && echo "slurm 24.05.3" || cat <<"X"\n{SINFO}X\n',
    "scontrol": 'case "$2" in config) printf "MaxArraySize            = 4001\\nKillWait = 60 sec\\nMpiDefault = pmix\\n";; '
    '*) echo "PartitionName=gpu GraceTime=120 MaxNodes=32 DefMemPerCPU=4000 QoS=N/A PreemptMode=REQUEUE";; esac',
    "sacctmgr": 'printf "proj1||normal,long\\nproj2|cpu|normal\\nproj3||x\\n"',
    "sacct": "exit 1",
    "srun": 'echo "  --container-image=IMAGE"',
    "squeue": "echo '{\"jobs\": []}'",
    "sbatch": "exit 0",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Programs on an otherwise bare PATH that answer as a site does."""

    def site(**answers: str) -> None:
        for name, script in {**ANSWERS, **answers}.items():
            file = tmp_path / name
            file.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
            file.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return site


def test_partitions_are_read_with_their_gpus_of_every_spelling(site):
    site()
    known = {one.name: one for one in partitions(5)}
    assert known["gpu"].gpus == {"a100": 4, "h100": 8} and known["gpu"].nodes == 44
    assert (known["gpu"].cpus, known["gpu"].memory_gib) == (64, 500)
    assert known["mig"].gpus == {"3g.40gb": 8} and known["cpu"].gpus == {}
    assert known["cpu"].is_default and not known["whole"].available


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:a100", {"a100": 1}), ("gpu", {"": 1}), ("gpu:a100:no_consume:4", {"a100": 4}), ("GPU:4", {"": 4}),
        ("gpu:a100:2,gpu:v100:4", {"a100": 2, "v100": 4}), ("gpu:h100:8(S:0-1),shard:h100:32(S:0-1)", {"h100": 8}),
        ("gpu:nvidia_a100_80gb_pcie:2(S:0,1)", {"nvidia_a100_80gb_pcie": 2}), ("gpu:a100:0", {}), ("shard:8", {}),
    ],
)  # fmt: skip
def test_gpus_are_counted_in_every_dialect_of_gres(site, gres: str, gpus: dict[str, int]):
    names = "PARTITION|AVAIL|TIMELIMIT|NODES|CPUS|MEMORY|GRES|AVAIL_FEATURES"
    site(sinfo=f"cat <<'X'\n=== Welcome ===\n{names}\nboost|up|1-00:00:00|4|32+|512000+|{gres}|(null)\nX\n")
    assert [(one.name, one.gpus) for one in partitions(5)] == [("boost", gpus)]


def test_the_probe_chooses_gpus_and_says_how_each_value_is_known(site):
    site()
    text = render("slurm", find_cluster("slurm").probe(None), date(2026, 1, 2))
    values = yaml.safe_load(text)
    assert values["gpus_per_node"] == 8 and values["gpu_type"] == "h100"
    assert values["sbatch"] == {"partition": "gpu", "account": "proj1"}
    assert values["time_limits"] == {"gpu": "1-00:00:00"}
    assert (
        "others: proj3" in text
        and "KillWait: 60 sec" in text
        and "MpiDefault: pmix" in text
        and "DefMemPerCPU: 4000" in text
    )
    assert all(
        "#" in line
        for line in text.splitlines()
        if line.strip() and not line.startswith(("defaults", "sbatch:", "time_limits:"))
    )
    ClusterConfig(**{key: value for key, value in values.items() if key != "defaults"})


def test_the_probe_names_the_other_partitions_and_resources_and_which_commands_answer(site):
    site()
    text = render("slurm", find_cluster("slurm").probe("gpu"), date(2026, 1, 2))
    assert "other GRES: nvme:1600" in text
    assert "partition mig: 2 nodes of 32 cores, 250 GiB and 8 3g.40gb, jobs up to infinite (sinfo)" in text
    assert "partition cpu: 200 nodes of 128 cores, 250 GiB and no GPUs, jobs up to 2-00:00:00" in text
    assert "partition whole: " in text and "it is down" in text and "partition gpu:" not in text
    for line in ("scontrol: True", "sacct: False", "squeue --json: True"):
        assert line in text
    site(scontrol="exit 1", squeue="echo 'squeue: unrecognized option --json' >&2; exit 1")
    silent = render("slurm", find_cluster("slurm").probe("gpu"), date(2026, 1, 2))
    assert "scontrol: False" in silent and "squeue --json: False" in silent


def test_the_one_type_of_gpu_of_a_partition_is_written(site):
    site()
    values = yaml.safe_load(render("slurm", find_cluster("slurm").probe("mig"), date(2026, 1, 2)))
    assert (values["gpu_type"], values["gpus_per_node"]) == ("3g.40gb", 8)


def test_another_cluster_of_the_site_is_asked_about_itself(
    site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = tmp_path / "calls"
    noted = f'echo "$0 $*" | sed "s,.*/,," >>{calls}; '
    site(**{name: noted + ANSWERS[name] for name in ("sinfo", "scontrol", "squeue")})
    find_cluster("slurm").probe("gpu", "other")
    monkeypatch.setenv("SBATCH_CLUSTERS", "other")
    find_cluster("slurm").partitions()
    asked = [line for line in calls.read_text().splitlines() if "--version" not in line]
    assert len(asked) == 5 and all("--clusters=other" in line for line in asked), asked


def test_a_partition_without_gres_gets_whole_nodes(site):
    site(sacctmgr="exit 1")
    values = yaml.safe_load(render("slurm", find_cluster("slurm").probe("whole"), date(2026, 1, 2)))
    assert values["gpu_request"] == "none" and values["sbatch"] == {"partition": "whole"}


def test_an_unknown_partition_and_a_silent_site_are_refused_in_one_line(site):
    site()
    with pytest.raises(PlanError, match=r"did you mean gpu\?"):
        choose(partitions(5), "gpus")
    with pytest.raises(ClusterError, match="lists no partition"):
        choose([], None)
    site(sinfo="echo down >&2; exit 1")
    with pytest.raises(ClusterError, match="login node"):
        partitions(5)


def test_a_machine_without_a_scheduler_is_sent_to_a_login_node():
    for ask in (find_cluster("local").partitions, lambda: find_cluster("local").probe(None)):
        with pytest.raises(ClusterError, match="login node"):
            ask()


def test_a_file_that_exists_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "deep" / "mine.yaml"
    write_new(path, "a: 1\n")
    with pytest.raises(ConfigError, match="exists"):
        write_new(path, "a: 2\n")
    assert path.read_text() == "a: 1\n"
    with pytest.raises(ConfigError, match="not a YAML file"):
        write_new(tmp_path / "x.txt", "")


GPU = Partition(
    name="gpu", is_default=True, available=True, time_limit="1-00:00:00", nodes=4, cpus=64, memory_gib=500,
    gpus={"a100": 4}, features=("a100", "nvlink"),
)  # fmt: skip
CPU = Partition(
    name="cpu", is_default=False, available=False, time_limit="infinite", nodes=4, cpus=64, memory_gib=500,
    gpus={}, features=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "time", "says"),
    [
        ({"sbatch": {"partition": "gpux"}}, None, "did you mean gpu?"),
        ({"sbatch": {"partition": "cpu"}}, None, "is down"),
        ({"gpus_per_node": 8}, None, "more than the 4"),
        ({"gpu_type": "h100"}, None, "which has a100"),
        ({"gpu_request": "none"}, None, "use gpus-per-node or gres"),
        ({"gpus_per_node": 4, "sbatch": {"partition": "cpu"}}, None, "gpu_request=none there"),
        ({"sbatch": {"constraint": "a100&ib"}}, None, "has ib"),
        ({}, "2-00:00:00", "longest job"),
        ({"node_memory_gib": 512}, None, "more than the 500 GiB"),
        ({"time_limits": {"gpu": "12:00:00"}}, None, "cluster.time_limits.gpu=12:00:00 is not"),
    ],
)
def test_what_no_longer_holds_is_one_sentence(values, time, says: str):
    found = faults(ClusterConfig(**values), [GPU, CPU], time)
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "gpus_per_node": 4,
            "gpu_type": "a100",
            "time_limits": {"gpu": "24:00:00"},
            "sbatch": {"partition": "gpu", "constraint": "[a100]&nvlink*2"},
        },
    ],
)
def test_a_file_that_holds_has_no_fault(values):
    assert faults(ClusterConfig(**values), [GPU, CPU], "12:00:00") == []


@pytest.mark.parametrize(
    ("sbatch", "says"),
    [
        (
            'echo "sbatch: Job 7 to start at 2026-11-29T03:00:00 using 8 processors on nodes n1 in partition gpu" >&2',
            None,
        ),
        ('echo "sbatch: error: Unable to contact slurm controller (connect failure)" >&2; exit 1', None),
        (
            'grep -q -e "--account=gone" && echo "allocation failure: Invalid account or account/partition combination '
            'specified" >&2 && exit 1',
            "refuses a job of one node with 4 GPUs: allocation failure: Invalid account",
        ),
    ],
)
def test_what_slurm_would_refuse_is_asked_without_a_job(site, tmp_path: Path, sbatch: str, says: str | None):
    site(sbatch=sbatch)
    values = ClusterConfig(gpus_per_node=4, sbatch={"account": "gone"})
    found = refusal(find_cluster("slurm"), values, "1:00:00", str(tmp_path))
    assert found is None if says is None else says in (found or "")


def test_modules_and_paths_that_this_machine_does_not_have_are_named(tmp_path: Path, monkeypatch):
    module = '() { case "$2" in cuda/*) echo "Lmod has detected an error" >&2; echo "unknown: $2" >&2; return 1;; esac; }'
    monkeypatch.setenv("BASH_FUNC_module%%", module)
    gone = tmp_path / "gone"
    bare = ClusterConfig(modules=["gcc/13", "cuda/99", "cuda/98"], python=str(gone))
    assert faults_here(bare) == [
        f"cluster.python={gone} does not exist on this machine",
        "cluster.modules: `module load cuda/99` fails on this machine: unknown: cuda/99",
    ]
    image = ContainerConfig(runtime=ContainerRuntime.apptainer, image=str(gone))
    (found,) = faults_here(ClusterConfig(modules=["gcc/13"], python=str(gone), container=image))
    assert found == f"cluster.container.image={gone} does not exist on this machine"
    assert faults_here(ClusterConfig(modules=["gcc/13"], python="python3")) == []


def test_the_verbs_agree_under_json(site, tmp_path: Path, cli):
    site()
    file = tmp_path / "site" / "cluster" / "mine.yaml"
    here = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    told = json.loads(cli("site", "probe", "--json", "--write", str(file), **here).stdout)
    assert told["file"] == str(file) and any(one["key"] == "gpus_per_node" for one in told["findings"])
    again = cli("site", "probe", "--write", str(file), **here)
    assert again.returncode == 1 and "exists and was not changed" in again.stderr
    checked = cli("site", "check", "--config-dir", str(tmp_path / "site"), "cluster=mine", "--json", **here)
    assert json.loads(checked.stdout) == {"kind": "slurm", "faults": []}
    typed = cli("site", "check", "cluster=slurm", "cluster.sbatch.partition=gpus", **here)
    assert typed.returncode == 1 and "did you mean gpu?" in typed.stdout
