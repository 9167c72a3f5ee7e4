"""A scheduler of another package: one module, own submit, query and cancel programs, and no line of this project changed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.extending.foreign import install
from tests.support.runs import Finished, command, environment

TOYQ = '''
"""toysub SCRIPT [--after ID], toystat ID... or --of FOLDER, toydel ID, toyagain ID: a queue of one machine, in $TOYQ."""

import json, os, signal, subprocess, sys, time
from pathlib import Path

QUEUE = Path(os.environ["TOYQ"])


def read(number):
    return json.loads((QUEUE / f"{number}.json").read_text())


def write(number, **facts):
    before = read(number) if (QUEUE / f"{number}.json").exists() else {}
    new = QUEUE / f".{number}.{os.getpid()}"
    new.write_text(json.dumps({**before, **facts}))
    new.replace(QUEUE / f"{number}.json")


def toysub(script, *after):
    lines = [line[5:] for line in Path(script).read_text().splitlines() if line.startswith("#TOY ")]
    asked = dict(line.split("=", 1) for line in lines)
    number = 1 + len(list(QUEUE.glob("[0-9]*.json")))
    write(number, state="queued", script=script, folder=asked["folder"], restarts=0, again=False, after=after[1:])
    carry = [sys.executable, __file__, "carry", str(number)]
    with open(os.devnull, "r+") as null:
        subprocess.Popen(carry, start_new_session=True, stdin=null, stdout=null, stderr=null)
    print(number)


def carry(number):
    while (QUEUE / "hold").exists() or any(read(other)["state"] in ("queued", "running") for other in read(number)["after"]):
        time.sleep(0.1)
    while True:
        job = read(number)
        if job["state"] == "deleted":
            return
        with open(Path(job["folder"], "logs", f"toy_{number}.log"), "ab") as log:
            env = {**os.environ, "TOY_JOB": number, "TOY_RESTARTS": str(job["restarts"])}
            command = ["bash", job["script"]]
            child = subprocess.Popen(command, cwd=job["folder"], env=env, stdout=log, stderr=log, start_new_session=True)
            write(number, state="running", pid=child.pid, again=False)
            code = child.wait()
        if not read(number)["again"]:
            return write(number, state="deleted" if read(number)["state"] == "deleted" else "done", code=code)


def toystat(*words):
    for path in sorted(QUEUE.glob("[0-9]*.json")):
        job = json.loads(path.read_text())
        alive = job["state"] in ("queued", "running")
        if path.stem in words or (words[0] == "--of" and words[1] == job["folder"] and alive):
            print(path.stem, job["state"], job["restarts"], job.get("code"))


def toydel(number):
    job = read(number)
    write(number, state="deleted")
    if job["state"] == "running":
        os.kill(job["pid"], signal.SIGTERM)


def toyagain(number):
    job = read(number)
    write(number, again=True, restarts=job["restarts"] + 1)
    os.kill(job["pid"], signal.SIGTERM)


word, *words = sys.argv[1:]
globals()[word](*words)
'''

TOY = '''
"""The cluster whose programs are toysub, toystat, toydel and toyagain."""

import subprocess

from launcher.clusters.base import Cluster, Refused, RunState
from launcher.clusters.job import Job, JobRecord
from launcher.errors import ClusterError, PlanError

STATES = {"queued": RunState.PENDING, "running": RunState.RUNNING, "deleted": RunState.CANCELLED}


def ask(*words, keep_open=()):
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, pass_fds=keep_open)
    except FileNotFoundError:
        raise ClusterError(f"cluster.kind=toy, but {words[0]} is not on PATH; log in to the cluster") from None
    if done.returncode:
        raise Refused(f"{words[0]}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.split("\\n")


class Toy(Cluster):
    name = "toy"
    title = "the toy queue"

    def job_options(self, request):
        for key in request.site.options:
            if key != "queue":
                raise PlanError(f"cluster.options.{key} is no option of toysub; use queue")
        return {"name": request.name, "time": request.resources.time, "queue": request.site.options.get("queue", "short")}

    def check_nodes(self, nodes):
        if nodes > 1:
            raise PlanError(f"resources.nodes={nodes} is more than the 1 node of cluster.kind=toy; use resources.nodes=1")

    def header(self, options, folder):
        return "\\n".join([*(f"#TOY {key}={value}" for key, value in options.items()), f"#TOY folder={folder}"])

    def by_hand(self, script):
        return f"`toysub {script}`"

    def submit_command(self, script):
        return ["toysub", str(script)]

    def submit(self, script, *, after=None, avoid=(), array=None, keep_open=None):
        behind = ["--after", after] if after else []
        return ask("toysub", str(script), *behind, keep_open=() if keep_open is None else (keep_open,))[0]

    def jobs_of(self, folder):
        return [line.split()[0] for line in ask("toystat", "--of", str(folder)) if line]

    def states(self, job_ids):
        told = {line.split()[0]: line.split()[1:] for line in ask("toystat", *job_ids) if line}
        return {job_id: self._state(told.get(job_id)) for job_id in job_ids}

    def _state(self, words):
        if words is None:
            return RunState.LOST
        ended = RunState.FINISHED if words[2] == "0" else RunState.FAILED
        return STATES.get(words[0], ended)

    def cancel(self, job_id):
        ask("toydel", job_id)

    def may_requeue(self, options):
        return True

    def requeue(self, job_id):
        ask("toyagain", job_id)

    def job(self, environ):
        number = environ.get("TOY_JOB")
        return Job(id=number, restart=int(environ["TOY_RESTARTS"])) if number else None

    def record(self, job_id):
        for line in ask("toystat", job_id):
            if line:
                _, state, restarts, _ = line.split()
                return JobRecord(running=state == "running", restarts=int(restarts))

    def host(self, environ):
        return "localhost"


SPEC = Toy()
'''
PLACE = ("cluster.kind=toy", "resources.device=cpu")
LONG = (*PLACE, "trainer.max_steps=4000", "plugins.sharded_checkpoint.save_steps=10")


class Site:
    """A machine with the toy queue, on which the package is installed."""

    def __init__(self, folder: Path, installed: Path | None = None) -> None:
        """`installed`: the folder from which Python imports the launcher with the toy, in place of the foreign package."""
        self.folder, self.queue, programs = folder, folder / "queue", folder / "bin"
        package = installed or install(
            folder / "site", "toy", {"toy_cluster": TOY}, {"launcher.clusters": {"toy": "toy_cluster"}}
        )
        for path in (self.queue, programs):
            path.mkdir()
        (folder / "toyq.py").write_text(TOYQ)
        for name in ("toysub", "toystat", "toydel", "toyagain"):
            program = f'#!/bin/sh\nexec {sys.executable} {folder}/toyq.py {name} "$@"\n'
            (programs / name).write_text(program)
            (programs / name).chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = environment(PATH=path, PYTHONPATH=str(package), TOYQ=str(self.queue))

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, typed there."""
        return self.run(*command(*arguments))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )

    def launch(self, *typed: str) -> tuple[Finished, str]:
        """A submitted run of the tiny model, and its job's id."""
        done = self.call("+experiment=tiny", "--json", *typed)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        return Finished(Path(told["run_dir"])), told["job_id"]

    def state(self) -> str:
        """What `status` says of the newest run."""
        return json.loads(self.call("status", "--json").stdout)["state"]

    def wait(self, holds: Callable[[], bool], what: str, run: Finished) -> None:
        deadline = time.monotonic() + 180
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come: {self.state()}\n{run.logs()}"
            time.sleep(0.3)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for job in site.queue.glob("[0-9]*.json"):
        site.run("toydel", job.stem)


def test_its_options_stand_in_the_plan_and_in_the_header_of_the_script(site):
    typed = ("+experiment=tiny", *PLACE, "cluster.options.queue=long", "--json")
    plan = json.loads(site.call("plan", *typed).stdout)
    assert plan["cluster"] == "toy"
    assert plan["job_options"] == {"name": "tiny", "time": "00:10:00", "queue": "long"}
    told = json.loads(site.call(*typed, "dry_run=true").stdout)
    assert told["command"] == f"toysub {told['run_dir']}/job.sbatch"
    script = Path(told["run_dir"], "job.sbatch").read_text()
    assert "#TOY queue=long\n" in script and f"#TOY folder={told['run_dir']}\n" in script
    assert "SBATCH" not in script and "`toysub job.sbatch`" in script
    assert not list(site.queue.iterdir())


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("cluster.options.partition=x", "cluster.options.partition is no option of toysub"),
        ("resources.nodes=2", "resources.nodes=2 is more than the 1 node of cluster.kind=toy"),
        ("cluster.kind=toi", "cluster.kind=toi: unknown cluster 'toi'; did you mean toy?"),
        ("cluster.container.runtime=pyxis", "cluster.container.runtime=pyxis is an option of Slurm's srun"),
    ],
)
def test_what_it_does_not_take_is_refused_in_one_line(site, typed, said):
    done = site.call("plan", "+experiment=tiny", *PLACE, typed)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_sweep_without_job_arrays_is_refused(site):
    done = site.call("-m", "+experiment=tiny", *PLACE, "seed=1,2")
    assert done.returncode == 1
    assert "cluster.kind=toy has no job arrays" in done.stderr


@pytest.mark.train
def test_a_run_waits_in_its_queue_runs_and_is_reported(site):
    (site.queue / "hold").touch()
    run, _ = site.launch(*PLACE)
    assert site.state() == "pending"
    (site.queue / "hold").unlink()
    site.wait(lambda: bool(run.events("finished")), "the end", run)
    assert site.state() == "finished"
    assert len(run.losses) == 8
    report = site.call("report", "--json")
    assert report.returncode == 0, report.stderr
    assert "tiny" in (run.path / "report.html").read_text()


@pytest.mark.long
@pytest.mark.train
def test_a_run_that_it_queues_again_resumes_and_one_that_is_cancelled_ends(site):
    run, job_id = site.launch(*LONG)
    site.wait(lambda: bool(run.events("saved")), "a checkpoint", run)
    assert site.state() == "running"
    assert site.run("toyagain", job_id).returncode == 0
    site.wait(lambda: bool(run.events("resumed")), "the next attempt", run)
    assert run.events("ended")[0]["told"] == "pre-empted"
    assert run.events("resumed")[0]["step"] == max(
        event["step"] for event in run.events("saved") if event["attempt"] == 1
    )
    cancelled = site.call("cancel")
    assert cancelled.returncode == 0, cancelled.stderr
    site.wait(lambda: bool(run.events("stopped")), "the end", run)
    assert site.state() == "cancelled"
    again = site.call("resume", run.path.as_posix())
    assert again.returncode == 0, again.stderr
    site.wait(lambda: len(run.events("resumed")) > 1, "the resumed run", run)
    assert site.call("cancel").returncode == 0
    site.wait(lambda: len(run.events("stopped")) > 1, "the end", run)
