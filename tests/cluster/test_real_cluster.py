"""Submitting to, and running on, a real Slurm cluster."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from launcher.clusters.slurm.script import directive
from launcher.resources import resource_dir
from tests.support.lab import Lab
from tests.support.paths import ROOT
from tests.support.runs import Finished, command, launch

pytestmark = [pytest.mark.slurm, pytest.mark.train]

TWO_NODES = ("resources.nodes=2", "batch.micro_batch_size=1")
LONG = ("trainer.max_steps=100000", "data.eval_path=null")


@pytest.fixture(scope="session")
def one_rank(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Finished:
    """The reference run of all others: one rank, on this machine."""
    return launch(tmp_path_factory.mktemp("one"), cache)


@pytest.fixture(scope="session")
def two_nodes(
    lab: Lab,
    cache: Path,
    one_rank: Finished,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> dict[str, Finished]:
    """Every strategy on two nodes that is tested, submitted together; Slurm runs two at a time."""
    folder = tmp_path_factory.mktemp("two")
    strategies = ("ddp", "zero2", "zero3", "fsdp2") if pytestconfig.getoption("--long") else ("ddp",)
    runs = {
        name: lab.launch(folder, f"cache_dir={cache}", f"strategy={name}", f"name={name}", *TWO_NODES)
        for name in strategies
    }
    for run in runs.values():
        lab.wait(run, "finished")
    return runs


@pytest.mark.parametrize(
    "strategy",
    [
        "ddp",
        pytest.param("zero2", marks=pytest.mark.long),
        pytest.param("zero3", marks=pytest.mark.long),
        pytest.param("fsdp2", marks=pytest.mark.long),
    ],
)
def test_two_nodes_begin_with_the_loss_of_one_rank(two_nodes, one_rank, strategy):
    run = two_nodes[strategy]
    assert len(run.losses) == 8
    assert run.losses[0] == pytest.approx(one_rank.losses[0], abs=1e-5)
    assert run.losses == pytest.approx(one_rank.losses, abs=1e-3)
    hosts = {path.stem for path in run.path.glob("logs/*_1/*.log")}
    assert len(hosts) == 2
    weights = load_file(run.path / "model" / "adapter_model.safetensors")
    assert any(tensor.abs().sum() > 0 for name, tensor in weights.items() if "lora_B" in name)


def test_status_list_and_logs_agree_with_the_run(lab, two_nodes):
    run = two_nodes["ddp"]
    status = json.loads(lab.run(*command("status", str(run.path), "--json"), cwd=run.path).stdout)
    assert status["state"] == "finished"
    assert (status["attempts"], status["step"], status["total_steps"]) == (1, 8, 8)
    assert status["loss"] == pytest.approx(run.losses[-1])
    assert status["job_id"] == json.loads((run.path / "job.json").read_text())["job_id"]
    assert "eval_loss" in lab.run(*command("logs", str(run.path)), cwd=run.path).stdout


@pytest.mark.long
def test_sbatch_allocation_and_local_paths_give_the_same_losses(lab, cache, tmp_path):
    two_ranks = ("resources.gpus_per_node=2", "batch.micro_batch_size=1")
    local = launch(tmp_path, cache, *two_ranks)

    submitted = lab.launch(tmp_path, f"cache_dir={cache}", "name=submitted", *two_ranks)
    script = resource_dir("slurm") / "launch.sbatch"
    lab.run(
        "sbatch", "--nodes=1", "--cpus-per-task=2", str(script), "+experiment=tiny", "name=inside", "resources.device=cpu",
        f"cache_dir={cache}", *two_ranks, cwd=tmp_path, LAUNCHER_PYTHON=command()[0],
    )  # fmt: skip
    lab.wait(submitted, "finished")
    inside = _only_run(lab, tmp_path / "runs" / "inside")
    lab.wait(inside, "finished")

    assert submitted.losses == pytest.approx(local.losses, abs=1e-5)
    assert inside.losses == pytest.approx(local.losses, abs=1e-5)
    assert json.loads((inside.path / "plan.json").read_text())["cluster"] == "allocation"


def test_a_job_gets_nothing_of_the_shell_and_the_step_in_which_it_was_submitted(lab, cache, tmp_path):
    """A step's binding and memory, and variables of sbatch, squeue and srun, each of which used to change the job."""
    shell = {
        "SBATCH_TIMELIMIT": "1", "SBATCH_MEM_PER_NODE": "1", "SLURM_EXPORT_ENV": "NONE", "SQUEUE_PARTITION": "none",
        "SQUEUE_STATES": "PENDING",
    }  # fmt: skip
    launched = command(
        "+experiment=tiny", "cluster=slurm", "resources.device=cpu", f"cache_dir={cache}", "trainer.max_steps=2",
        "resources.time=00:20:00", "data.eval_path=null", "cluster.sbatch.export=NONE", "cluster.srun.mpi=none", "--json",
    )  # fmt: skip
    done = lab.run(
        "srun", "--ntasks=1", "--cpus-per-task=1", "--export=ALL", *launched, cwd=tmp_path, **shell
    )
    run = Finished(Path(json.loads(done.stdout)["run_dir"]))
    assert "SBATCH_TIMELIMIT=1 of your shell is left out" in done.stderr
    job = json.loads((run.path / "job.json").read_text())["job_id"]
    assert "TimeLimit=00:20:00" in lab.run("scontrol", "show", "job", job, cwd=tmp_path).stdout
    told = lab.run(*command("status", str(run.path), "--json"), cwd=tmp_path, **shell)
    assert json.loads(told.stdout)["state"] in ("pending", "running", "finished")
    lab.wait(run, "finished")
    assert len(run.losses) == 2


@pytest.mark.long
def test_nodes_meet_without_names_in_dns_and_with_their_own_name_at_127_0_1_1(lab, submitted):
    """As Debian writes /etc/hosts, and as on clusters whose Slurm knows the addresses alone."""
    for number in range(1, 5):
        file, hosts = f"/tmp/hosts_n{number}", f"127.0.0.1 localhost\\n127.0.1.1 n{number}\\n"
        done = lab.on(
            f"n{number}", "bash", "-c", f"printf '{hosts}' >{file} && mount --bind {file} /etc/hosts"
        )
        assert done.returncode == 0, done.stderr
    try:
        run = submitted("trainer.max_steps=2", "data.eval_path=null", *TWO_NODES)
        lab.wait(run, "finished")
    finally:
        for number in range(1, 5):
            lab.on(f"n{number}", "umount", "/etc/hosts")
    assert len(run.losses) == 2
    assert len(run.events("started")) == 1


def test_a_probe_of_the_site_writes_a_file_with_which_a_run_finishes(lab, cache, tmp_path):
    file = tmp_path / "site" / "cluster" / "lab.yaml"
    words = command("site", "probe", "--run", "--partition", "main", "--sbatch", "nice=1")
    first = lab.run(*words, cwd=tmp_path).stdout
    second = lab.run(*words, "--write", str(file), cwd=tmp_path).stdout
    assert yaml.safe_load(first) == yaml.safe_load(second) == yaml.safe_load(file.read_text())
    assert "gpus_per_node: 8" in first and 'nice: "1"' in first and "between nodes over eth0, GB/s" in first
    assert "less than a second" in first and "name n1 on other nodes: 10.87.0." in first
    assert not list(tmp_path.glob("site_probe_*"))
    mine = ("--config-dir", str(file.parent.parent), "cluster=lab")
    assert "is true" in lab.run(*command("site", "check", *mine), cwd=tmp_path).stdout
    own = tmp_path / "own disk"
    own.mkdir()
    more = ("trainer.max_steps=2", "data.eval_path=null", f"cluster.node_cache='{own}'")
    run = lab.launch(tmp_path, f"cache_dir={cache}", *more, *mine)
    lab.wait(run, "finished")
    assert [one["what"] for one in run.events("copied_to_node")] == ["model", "tokens"]
    assert str(own) not in (run.path / "model" / "adapter_config.json").read_text()
    assert "#SBATCH --partition=main" in (run.path / "job.sbatch").read_text()


@pytest.mark.long
def test_the_ranks_run_in_an_image_of_charliecloud(lab, cache, tmp_path):
    """The image's folders are the host's own system, so that it needs no registry."""
    image = unpacked_image(tmp_path / "image")
    python = Path(sys.executable).resolve()
    packages = [path for path in sys.path if Path(path).is_dir()]
    mounts = sorted({"/usr", str(ROOT), sys.prefix, str(python.parents[1]), *packages})
    run = lab.launch(
        tmp_path, f"cache_dir={cache}", "trainer.max_steps=2", "data.eval_path=null", *TWO_NODES,
        "cluster.container.runtime=charliecloud", f"cluster.container.image={image}",
        f"cluster.container.mounts=[{','.join(mounts)}]", f"cluster.container.python={sys.executable}",
        "cluster.env.USER=root",
    )  # fmt: skip
    lab.wait(run, "finished")
    assert "exec ch-run --bind" in (run.path / "node.sh").read_text()
    assert len(run.losses) == 2


def unpacked_image(folder: Path) -> Path:
    """A folder with the places on which ch-run mounts."""
    for name in ("usr", "etc", "dev", "proc", "sys", "tmp", "home", "opt"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group", "hosts", "resolv.conf"):
        (folder / "etc" / name).touch()
    return folder


def test_a_step_that_cannot_start_stops_the_run_with_sruns_own_words(lab, submitted):
    run = submitted("cluster.srun.mpi=nonsense", *TWO_NODES)
    lab.wait(run, "stopped")
    (stopped,) = run.events("stopped")
    assert (
        stopped["exit_code"] == 15
        and "mpi/nonsense" in stopped["reason"]
        and "cluster.srun" in stopped["reason"]
    )
    assert len(run.events("started")) == 1


@pytest.mark.parametrize(
    "how", ["sbatch job.sbatch", pytest.param("salloc --nodes=1 bash job.sbatch", marks=pytest.mark.long)]
)
def test_the_generated_files_run_by_hand(lab, cache, tmp_path, one_rank, how: str):
    overrides = (
        "+experiment=tiny",
        "cluster=slurm",
        "resources.device=cpu",
        f"cache_dir={cache}",
        "dry_run=true",
        "--json",
    )
    done = lab.run(*command(*overrides), cwd=tmp_path)
    run = Finished(Path(json.loads(done.stdout)["run_dir"]))
    lab.run(*how.split(), cwd=run.path)
    lab.wait(run, "finished")
    assert run.losses == pytest.approx(one_rank.losses, abs=1e-5)


@pytest.mark.long
def test_accelerate_launch_works_over_two_nodes(lab, submitted, two_nodes):
    run = submitted("cluster.rank_starter=accelerate", "strategy=zero2", *TWO_NODES)
    lab.wait(run, "finished")
    assert run.losses == pytest.approx(two_nodes["zero2"].losses, abs=1e-5)


def test_cancel_ends_the_job_and_leaves_no_process(lab, submitted):
    run = submitted(*LONG, *TWO_NODES)
    lab.wait(run, "training")
    assert lab.state(run) == "running"
    lab.run(*command("cancel", str(run.path)), cwd=run.path)
    deadline = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", f"launcher.train.*{run.path}"], capture_output=True).returncode == 0:
        assert time.monotonic() < deadline, "ranks are left"
        time.sleep(0.2)
    _until(lambda: lab.state(run) == "cancelled")


def test_a_queued_job_is_pending_and_a_failed_one_names_its_rank(lab, submitted, tmp_path):
    held = submitted("+cluster.sbatch.hold=true")
    assert lab.state(held) == "pending"
    lab.run(*command("cancel", str(held.path)), cwd=tmp_path)
    assert lab.state(held) == "cancelled"

    failed = submitted("model.attn_implementation=nobody/no_such_kernel", *TWO_NODES)
    lab.wait(failed, "stopped")
    _until(lambda: lab.state(failed) != "running")  # Slurm still completes the job
    status = json.loads(lab.run(*command("status", str(failed.path), "--json"), cwd=tmp_path).stdout)
    assert status["state"] == "failed"
    assert status["error"].startswith("rank ") and "kernel" in status["error"]


@pytest.mark.long
def test_a_silent_controller_never_makes_a_job_dead(lab, submitted):
    run = submitted(*LONG)
    lab.wait(run, "training")
    pid = lab.run("cat", f"{lab.folder}/run/slurmctld.pid", cwd=run.path).stdout.strip()
    lab.run("kill", "-STOP", pid, cwd=run.path)
    try:
        done = lab.run(*command("status", str(run.path), "--json"), cwd=run.path)
        status = json.loads(done.stdout)
        assert status["state"] == "running"
        assert "does not answer" in status["note"]
    finally:
        lab.run("kill", "-CONT", pid, cwd=run.path)
    lab.run(*command("cancel", str(run.path)), cwd=run.path)


@pytest.mark.long
def test_a_requeued_job_continues_in_its_run_dir(lab, submitted):
    run = submitted(
        "trainer.max_steps=400", "plugins.sharded_checkpoint.save_steps=10", "data.eval_path=null"
    )
    lab.wait(run, "saved")
    job = json.loads((run.path / "job.json").read_text())["job_id"]
    lab.run("scontrol", "requeue", job, cwd=run.path)
    _until(lambda: len(run.events("started")) == 2, 120)
    _until(lambda: bool(run.events("resumed")), 60)
    _until(lambda: bool(run.events("finished")), 120)
    assert (
        json.loads(lab.run(*command("status", str(run.path), "--json"), cwd=run.path).stdout)["attempts"] == 2
    )
    assert run.metrics()[-1]["step"] == 400


@pytest.mark.long
def test_a_requeued_job_does_not_go_on_over_other_rows(lab, submitted, tmp_path):
    rows = [
        json.dumps({"question": f"What is {number}?", "answer": f"The number {number}."})
        for number in range(200)
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(rows))
    run = submitted(
        "trainer.max_steps=100000",
        "plugins.sharded_checkpoint.save_steps=10",
        "data.path=own.jsonl",
        "trainer.packing=false",
    )
    lab.wait(run, "saved")
    (tmp_path / "own.jsonl").write_text("\n".join(reversed(rows)))
    lab.run("scontrol", "requeue", lab.job(run), cwd=run.path)
    _until(lambda: bool(run.events("stopped")), 120)
    (stopped,) = run.events("stopped")
    assert "own.jsonl has changed since the launch" in stopped["reason"]
    assert len(run.events("started")) == 1


def test_sbatch_reads_every_value_back_letter_by_letter(lab, tmp_path):
    """render.directive against the real parser: awkward comments, seeded."""
    generator = random.Random(7)
    alphabet = "aZ0 \t\"'\\#$`;|&<>(){}[]*?!~%^,:=+-_./é漢"
    values = ["".join(generator.choice(alphabet) for _ in range(generator.randint(1, 24))) for _ in range(60)]
    values = [value.replace("\t", " ") for value in values]  # a tab is refused as a control character
    script = tmp_path / "job.sh"
    for value in values:
        script.write_text(
            f"#!/bin/bash\n#SBATCH --hold\n#SBATCH --comment={directive(value)}\n#SBATCH --job-name=ok\ntrue\n"
        )
        job = lab.run("sbatch", "--parsable", str(script), cwd=tmp_path).stdout.strip()
        jobs = json.loads(lab.run("squeue", "--json", "--jobs", job, cwd=tmp_path).stdout)["jobs"]
        found = next(entry for entry in jobs if str(entry["job_id"]) == job)
        assert (found["comment"], found["name"]) == (value, "ok")
    lab.run("scancel", "--name=ok", cwd=tmp_path)


def _only_run(lab: Lab, folder: Path) -> Finished:
    _until(lambda: bool(list(folder.glob("*/events.jsonl"))), 60)
    return Finished(next(folder.glob("*/events.jsonl")).parent)


def _until(true, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.3)
