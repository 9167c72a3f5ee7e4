"""What a job on the nodes of a site measures there, and what is concluded from it."""

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.clusters.registry import find_cluster
from launcher.clusters.site_file import render
from launcher.config import ClusterConfig
from launcher.errors import ClusterError, PlanError
from launcher.look.disk import measure
from launcher.look.findings import findings_of
from launcher.look.gpus import find_gpus
from launcher.look.job import JobRequest, run_job, write_job
from launcher.look.network import RendezvousServer, interfaces, meet
from launcher.look.record import Disk, Gpus, Interface, Link, NodeRecord, read_records
from tests.unit.look.answers import ROCM, SMI

GPUS = Gpus(vendor="nvidia", names=["NVIDIA A100"] * 4, memory_gib=40.0, context_gib=0.42, link_gb_s=270.0)


def node(index: int, **changes: Any) -> NodeRecord:
    nets = [
        Interface(name="eth0", addresses=[f"10.0.0.{index}"], fast=False, speed_gb_s=0.125),
        Interface(name="ib0", addresses=[f"10.1.0.{index}"], fast=True, speed_gb_s=None),
    ]
    links = [
        Link(interface="eth0", address="10.0.0.0", gb_s=0.117, clock_s=0.001),
        Link(interface="ib0", address="10.1.0.0", gb_s=2.34, clock_s=0.001),
    ]
    disks = [
        Disk(path="/tmp", kind="tmpfs", free_gb=118.3, write_gb_s=2.2, read_gb_s=5.1),
        Disk(path="/scratch/me", kind="lustre", free_gb=900.0, write_gb_s=1.4, read_gb_s=0.9),
    ]
    base = NodeRecord(
        index=index, host=f"n{index}", python="3.11.7", architecture="x86_64", torch="2.9", cores=16, ib_gb_s=50.0, limits=[],
        gpus=dataclasses.replace(GPUS), interfaces=nets, links=links if index else [],
        name_of_first="10.0.0.0" if index else "", disks=disks,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def text_of(*records: NodeRecord) -> str:
    from datetime import date

    return render("slurm", findings_of(records, "x86_64"), date(2026, 1, 2))


def test_values_of_keys_are_those_that_do_not_change_and_speeds_are_facts():
    text = text_of(node(0), node(1))
    assert yaml.safe_load(text) == {
        "defaults": ["slurm", "_self_"],
        "gpu_memory_gib": 40.0,
        "interface": "ib0",
    }
    assert "4 x NVIDIA A100" in text and "copy from GPU 0 to GPU 1, GB/s: 300" in text
    assert "between nodes over eth0, GB/s: 0.1" in text and "over ib0, GB/s: 2 " in text
    assert "/tmp (tmpfs): 2 GB/s written, 5 GB/s read" in text and "in the node's memory" in text
    assert "name n0 on other nodes: 10.0.0.0 (a job on n0, n1); on eth0" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name_of_first": "the name cannot be resolved"}, "a run finds its nodes by their addresses"),
        ({"name_of_first": "127.0.1.1"}, "not an address of that node"),
        (
            {"links": [Link(interface="eth0", address="x", problem="refused")]},
            "over eth0: no connection: refused",
        ),
        ({"links": [Link(interface="eth0", address="x", gb_s=1.0, clock_s=-75.2)]}, "differ by: 80 s"),
        ({"limits": ["the hard limit of open files is 1024"]}, "limit: the hard limit of open files"),
        ({"gpus": Gpus(vendor="amd", names=["MI250X"], memory_gib=39.5)}, "gpu_vendor: "),
        ({"gpus": Gpus(vendor="nvidia", names=["A"] * 3, memory_gib=39.5)}, "3/4 x A, NVIDIA A100"),
    ],
)
def test_what_a_person_should_know_is_said(changes: dict[str, Any], says: str):
    assert says in text_of(node(0), node(1, **changes))


def test_one_node_without_gpus_of_another_architecture_has_its_findings():
    text = text_of(node(0, gpus=None, ib_gb_s=0.0, torch=None, architecture="aarch64"))
    assert "neither nvidia-smi nor rocm-smi answers there" in text and "torch is not installed" in text
    assert "install the Python environment on a node" in text and "between nodes" not in text


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path):
    both = [node(0), node(1, gpus=None)]
    for one in reversed(both):
        one.write(tmp_path)
    assert read_records(tmp_path) == both


def test_two_nodes_meet_over_each_interface_that_both_have(tmp_path: Path):
    own = interfaces() or [Interface(name="lo", addresses=["127.0.0.1"], fast=False, speed_gb_s=None)]
    rendezvous = RendezvousServer(tmp_path, 2)
    where = json.loads((tmp_path / "rendezvous.json").read_text())
    where["addresses"] = {one.name: one.addresses for one in own}
    (tmp_path / "rendezvous.json").write_text(json.dumps(where))
    served = threading.Thread(target=rendezvous.serve)
    served.start()
    name, links = meet(
        tmp_path, [*own, Interface(name="ib9", addresses=["1.1.1.1"], fast=True, speed_gb_s=None)]
    )
    served.join(timeout=10)
    assert not served.is_alive() and name
    assert [link.interface for link in links] == [one.name for one in own]
    assert all(link.gb_s for link in links), links
    assert all(link.clock_s is not None and abs(link.clock_s) < 1 for link in links), links
    assert (tmp_path / "rendezvous.json").stat().st_mode & 0o077 == 0


def test_a_folder_has_its_speeds_and_one_that_cannot_be_written_has_no_speeds(tmp_path: Path):
    disk = measure(tmp_path)
    assert disk.write_gb_s and disk.read_gb_s and disk.free_gb > 0 and disk.kind != "unknown"
    assert list(tmp_path.iterdir()) == []
    assert measure(Path("/proc")).write_gb_s is None


@pytest.mark.parametrize(
    ("program", "answer", "expected"),
    [
        ("nvidia-smi", SMI, ("nvidia", 2, 79.6)),
        ("rocm-smi", ROCM, ("amd", 2, 64.0)),
        ("nvidia-smi", "No devices were found", None),
        ("rocm-smi", '{"system": {"Driver version": "6"}}', None),
        ("rocm-smi", "not JSON", None),
    ],
)
def test_gpus_are_those_of_the_tool_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, answer: str, expected: Any
):
    file = tmp_path / program
    file.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\ncat <<'X'\n{answer}\nX\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    gpus = find_gpus()
    assert (gpus and (gpus.vendor, len(gpus.names), gpus.memory_gib)) == expected


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that answer as Slurm does: a job that waits."""
    programs = {
        "sbatch": "echo 7", "squeue": 'case "$*" in *%r*) echo "7|Priority";; *) echo "7|PENDING";; esac',
        "scancel": f'echo "$*" >>{tmp_path}/cancelled',
    }  # fmt: skip
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_job_asks_in_the_dialect_of_the_site(slurm: Path):
    site = ClusterConfig(kind="slurm", gpu_request="gres", gpu_type="a100", sbatch={"qos": "debug"})
    wanted = JobRequest(nodes=2, gpus_per_node=4, site=site)
    script = write_job(find_cluster("slurm"), wanted, slurm / "new").read_text()
    for line in ("--gres=gpu:a100:4", "--qos=debug", "--nodes=2", "--no-requeue", "--time=00:05:00"):
        assert f"#SBATCH {line}\n" in script
    with pytest.raises(PlanError, match=r"did you mean cluster\.sbatch\.qos\?"):
        write_job(
            find_cluster("slurm"),
            dataclasses.replace(wanted, site=ClusterConfig(sbatch={"qoss": "x"})),
            slurm,
        )


def test_a_job_that_does_not_start_is_cancelled_with_its_reason(slurm: Path):
    script = write_job(
        find_cluster("slurm"), JobRequest(nodes=1, gpus_per_node=0, site=ClusterConfig()), slurm / "new"
    )
    with pytest.raises(ClusterError, match=r"has not started within 0 s \(Priority\) and is cancelled"):
        run_job(find_cluster("slurm"), script, 1, 0.0)
    assert (slurm / "cancelled").read_text() == "7\n"


def test_a_job_that_ends_without_an_answer_is_reported_with_its_last_line(slurm: Path):
    (slurm / "squeue").write_text("#!/bin/sh\necho '7|FAILED'\n")
    script = write_job(
        find_cluster("slurm"), JobRequest(nodes=2, gpus_per_node=0, site=ClusterConfig()), slurm / "new"
    )
    (script.parent / "logs/job.log").write_text("python: No such file or directory\n")
    with pytest.raises(ClusterError, match="0 of 2 nodes have answered: python: No such file"):
        run_job(find_cluster("slurm"), script, 2, 5.0)
