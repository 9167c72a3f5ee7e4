"""Sites whose Slurm and whose networks differ from the lab of the other tests: task/affinity, an MpiDefault that fails, two
networks; and the places in which people type the command: steps, interactive shells, allocations of several tasks a node."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.runs import Finished, command

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long]

PLUGIN = """
import dataclasses, json, os
from launcher.plugins.base import Plugin
@dataclasses.dataclass(frozen=True)
class Seen(Plugin):
    def on_trainer(self, trainer):
        names = ("MASTER_ADDR", "GLOO_SOCKET_IFNAME", "OMP_NUM_THREADS", "SLURM_NTASKS")
        seen = {name: os.environ.get(name) for name in names}
        seen["cores"] = sorted(os.sched_getaffinity(0))
        print("SEEN " + json.dumps(seen), flush=True)
        return trainer
"""
SHORT = ("trainer.max_steps=2", "data.eval_path=null", "+plugins.seen._target_=seen.Seen")
TWO_NODES = ("resources.nodes=2", "batch.micro_batch_size=1")
NAMES = "127.0.0.1 localhost\n" + "".join(
    f"10.99.0.{10 + i} n{i}\n10.88.0.{10 + i} n{i}i\n" for i in range(1, 5)
)
"""The hosts file of a site where a node's name belongs to a network without a route, and the name with i to another one."""


@pytest.fixture(scope="module")
def site() -> Iterator[Lab]:
    """Nodes with the cores of this machine, to which Slurm binds steps, and a second network."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    one = Lab(
        Path("/tmp") / f"dialects-{os.getpid()}", SLAB_NET="10.86.0", SLAB_SECOND="10.88.0", SLAB_TASK="affinity",
        SLAB_CPUS="2", SLAB_MPI="pmix",
    )  # fmt: skip
    one("up", "4")
    yield one
    one("down")
    shutil.rmtree(one.folder, ignore_errors=True)


@pytest.fixture
def typed(cache: Path, tmp_path: Path) -> Callable[..., list[str]]:
    (tmp_path / "seen.py").write_text(PLUGIN)

    def typed(*overrides: str) -> list[str]:
        return command("+experiment=tiny", "resources.device=cpu", f"cache_dir={cache}", *SHORT, *overrides)

    return typed


NO_MPI = "cluster.srun.mpi=none"


@pytest.fixture
def launch(site: Lab, typed, tmp_path: Path) -> Callable[..., Finished]:
    def launch(*overrides: str, inside: tuple[str, ...] = (), **shell: str) -> Finished:
        words = typed("cluster=slurm", "resources.time=00:20:00", "--json", *overrides)
        done = site.run(*inside, *words, cwd=tmp_path, check=True, **shell)
        return Finished(Path(json.loads(done.stdout.splitlines()[-1])["run_dir"]))

    return launch


def seen(run: Finished) -> list[dict]:
    """What each rank saw."""
    return [json.loads(line[5:]) for line in run.logs().splitlines() if line.startswith("SEEN ")]


def only_run(folder: Path) -> Finished:
    (found,) = folder.glob("runs/tiny/*/events.jsonl")
    return Finished(found.parent)


def test_a_job_that_was_submitted_from_a_step_of_one_core_has_all_of_its_own(site, launch):
    step = ("srun", "--mpi=none", "--ntasks=1", "--cpus-per-task=1", "--export=ALL")
    run = launch("resources.cpus_per_gpu=2", NO_MPI, inside=step, OMP_NUM_THREADS="")
    site.wait(run, "finished")
    (rank,) = seen(run)
    assert rank["cores"] == [0, 1] and rank["OMP_NUM_THREADS"] != "1"


def test_an_mpi_default_that_does_not_work_stops_the_run_and_names_the_key_that_helps(site, launch):
    run = launch(*TWO_NODES)
    site.wait(run, "stopped")
    (stopped,) = run.events("stopped")
    assert stopped["exit_code"] == 15 and "pmix" in stopped["reason"] and "cluster.srun" in stopped["reason"]
    assert len(run.events("started")) == 1
    status = json.loads(site.run(*command("status", str(run.path), "--json"), cwd=run.path).stdout)
    assert status["state"] == "failed" and "pmix" in status["error"]


@pytest.fixture
def other_names(site: Lab, tmp_path: Path) -> Iterator[None]:
    for number in range(1, 5):
        file = tmp_path / f"hosts_{number}"
        file.write_text(NAMES)
        done = site.on(f"n{number}", "mount", "--bind", str(file), "/etc/hosts")
        assert done.returncode == 0, done.stderr
    yield
    for number in range(1, 5):
        site.on(f"n{number}", "umount", "/etc/hosts")


def test_a_name_without_a_route_and_one_with_a_suffix_on_another_network(site, launch, other_names):
    run = launch("cluster.host_suffix=i", NO_MPI, *TWO_NODES)
    site.wait(run, "finished")
    assert {(rank["MASTER_ADDR"][:8], rank["GLOO_SOCKET_IFNAME"]) for rank in seen(run)} == {
        ("10.88.0.", "eth1")
    }
    assert len(run.events("started")) == 1


def test_without_the_suffix_the_nodes_find_an_address_by_themselves(site, launch, other_names):
    run = launch(NO_MPI, *TWO_NODES)
    site.wait(run, "finished")
    assert len(seen(run)) == 2 and len(run.events("started")) == 1


def test_a_named_interface_is_the_only_one_on_which_a_run_listens(site, launch):
    run = launch("cluster.interface=eth1", "trainer.max_steps=100000", NO_MPI, *TWO_NODES)
    site.wait(run, "training")
    listening = "".join(site.on(host, "ss", "-Hltnp").stdout for host in site.hosts(run))
    site.run(*command("cancel", str(run.path)), cwd=run.path)
    assert {(rank["MASTER_ADDR"][:8], rank["GLOO_SOCKET_IFNAME"]) for rank in seen(run)} == {
        ("10.88.0.", "eth1")
    }
    ours = {
        line.split()[3] for line in listening.splitlines() if '"python' in line
    }  # not those of srun and slurmd
    assert ours and all(one.startswith(("10.88.0.", "127.0.0.1:", "[::1]:")) for one in ours), listening


def test_a_network_of_ipv6_alone(site, launch):
    for number in range(1, 5):
        for words in ("-4 addr flush dev eth1", f"-6 addr add fd88::{number}/64 dev eth1 nodad"):
            done = site.on(f"n{number}", "ip", *words.split())
            assert done.returncode == 0, done.stderr
    try:
        run = launch("cluster.interface=eth1", NO_MPI, *TWO_NODES)
        site.wait(run, "finished")
    finally:
        for number in range(1, 5):
            site.on(f"n{number}", "ip", "-6", "addr", "del", f"fd88::{number}/64", "dev", "eth1")
            site.on(f"n{number}", "ip", "addr", "add", f"10.88.0.{10 + number}/24", "dev", "eth1")
    assert all(rank["MASTER_ADDR"].startswith("fd88::") for rank in seen(run)) and len(seen(run)) == 2


def test_nodes_without_ipv6(site, launch):
    switch = "/proc/sys/net/ipv6/conf/all/disable_ipv6"
    for number in range(1, 5):
        assert site.on(f"n{number}", "bash", "-c", f"echo 1 >{switch}").returncode == 0
    try:
        run = launch(NO_MPI, *TWO_NODES)
        site.wait(run, "finished")
    finally:
        for number in range(1, 5):
            site.on(f"n{number}", "bash", "-c", f"echo 0 >{switch}")
    assert len(seen(run)) == 2 and len(run.events("started")) == 1


@pytest.mark.parametrize("more", [(), ("--gpus-per-task=1",), ("--cpus-per-task=1",)])
def test_an_allocation_of_two_tasks_a_node_gets_one_task_a_node(site, typed, tmp_path, more: tuple[str, ...]):
    words = typed(NO_MPI, *TWO_NODES)
    site.run("salloc", "--nodes=2", "--ntasks-per-node=2", *more, *words, cwd=tmp_path)
    run = only_run(tmp_path)
    assert len(run.events("finished")) == 1 and len(run.events("started")) == 1
    assert [rank["SLURM_NTASKS"] for rank in seen(run)] == ["2", "2"]


def test_a_shell_of_srun_runs_it_in_its_own_job(site, typed, tmp_path):
    """The new step would wait for the shell's own step to end."""
    site.run("srun", "--mpi=none", "--ntasks=1", "--cpus-per-task=2", *typed(NO_MPI), cwd=tmp_path)
    run = only_run(tmp_path)
    assert len(run.events("finished")) == 1 and len(run.losses) == 2
    assert json.loads((run.path / "plan.json").read_text())["cluster"] == "allocation"


def test_copies_of_the_command_by_srun_start_nothing(site, typed, tmp_path):
    done = site.run(
        "srun", "--mpi=none", "--nodes=2", "--ntasks=2", *typed(NO_MPI, *TWO_NODES), cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("2 copies of this command") == 2 and not list(
        tmp_path.glob("runs/*/*/events.jsonl")
    )


def test_a_heterogeneous_job_is_refused(site, typed, tmp_path):
    parts = ("--nodes=1", "--ntasks=1", ":", "--nodes=1", "--ntasks=2")
    done = site.run("salloc", *parts, *typed(NO_MPI), cwd=tmp_path, check=False)
    assert done.returncode == 1 and "heterogeneous job of 2 parts" in done.stderr
