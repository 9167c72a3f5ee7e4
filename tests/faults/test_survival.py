"""Every fault, for real: afterwards the run has finished with the losses of an undisturbed one, and nothing is left behind.

Four nodes; a run trains on two of them, 240 steps of about 30 ms with a checkpoint every 10. Without --long, it trains half as
many steps in the same time, since each costs the two cores of continuous integration.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.runs import Finished, command

pytestmark = [pytest.mark.slurm, pytest.mark.train]

EVERY = 10
RUN = (
    "resources.nodes=2", "batch.micro_batch_size=1", "data.eval_path=null",
    f"plugins.sharded_checkpoint.save_steps={EVERY}", "resources.hang_timeout_s=5", "trainer.num_train_epochs=1",
    "+plugins.slow._target_=slow.Slow",
)  # fmt: skip
SLOW = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from transformers import TrainerCallback
from launcher.plugins.base import Plugin

class Wait(TrainerCallback):
    def __init__(self, pause_s):
        self.pause_s = pause_s
    def on_step_end(self, args, state, control, **kwargs):
        time.sleep(self.pause_s)
        fault = Path(args.output_dir).parent / "fault.py"
        try:
            code = fault.read_text()
        except FileNotFoundError:  # another rank can have removed it in this moment
            code = ""
        if code:
            model = kwargs["model"]
            names = {"step": state.global_step, "rank": int(os.environ["RANK"]), "fault": fault, "model": model}
            exec(code, names)

@dataclass(frozen=True, kw_only=True)
class Slow(Plugin):
    workers: int = 0
    stops: str = ""
    pause_s: float = 0.02
    def on_trainer(self, trainer):
        if os.path.exists(self.stops) and os.environ["RANK"] == "1":
            os.unlink(self.stops)
            os.kill(os.getpid(), signal.SIGSTOP)
        trainer.add_callback(Wait(self.pause_s))
        trainer.args.dataloader_num_workers = self.workers
        return trainer
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "slow.py").write_text(SLOW)
    return folder


@pytest.fixture(scope="module")
def start(lab: Lab, cache: Path, folder: Path, pytestconfig: pytest.Config) -> Callable[..., Finished]:
    """A run that is training and has saved."""
    steps, usual_s = (240, 0.02) if pytestconfig.getoption("--long") else (120, 0.1)

    def start(*overrides: str, wait: str = "saved", pause_s: float = usual_s) -> Finished:
        length = (f"trainer.max_steps={steps}", f"+plugins.slow.pause_s={pause_s}")
        run = lab.launch(folder, f"cache_dir={cache}", *RUN, *length, *overrides)
        if wait:
            lab.wait(run, wait)
        return run

    return start


@pytest.fixture(scope="module")
def whole(lab: Lab, start: Callable[..., Finished]) -> Finished:
    """The undisturbed run."""
    run = start(wait="finished")
    assert len(run.losses) >= 120
    return run


@pytest.fixture(autouse=True)
def _healthy(lab: Lab, folder: Path) -> Iterator[None]:
    """Repairs what a test broke, for the next test."""
    yield
    for number in range(1, 5):
        with contextlib.suppress(Exception):
            lab("plug", f"n{number}")
    until(lambda: lab.run("scontrol", "ping", cwd=folder, check=False).returncode == 0, 60)
    lab.run("scancel", "--user=root", cwd=folder)
    for number in range(1, 5):
        lab("boot", f"n{number}")
        lab.run("scontrol", "update", f"NodeName=n{number}", "State=RESUME", cwd=folder, check=False)
    until(
        lambda: (
            lab.run("sinfo", "-hr", "-p", "main", "-t", "idle", "-o", "%D", cwd=folder).stdout.strip() == "4"
        ),
        90,
    )


def until(true: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.2)


def final_losses(run: Finished) -> list[float]:
    """The loss of each step, by the last attempt that took it."""
    return [
        loss
        for _, loss in sorted(
            {line["step"]: line["loss"] for line in run.metrics() if "loss" in line}.items()
        )
    ]


def check_finished(lab: Lab, run: Finished, whole: Finished, *, timeout_s: float = 150) -> None:
    """Finished, with the losses of the undisturbed run, at most one interval taken twice per end, and nothing left."""
    lab.wait(run, "finished", timeout_s)
    assert final_losses(run) == whole.losses
    ends = [event for event in run.events() if event["event"] in ("ended", "started")]
    restarts = sum(event["event"] == "started" for event in ends) - 1
    steps = [line["step"] for line in run.metrics() if "loss" in line]
    assert len(steps) - len(whole.losses) <= restarts * (EVERY + 6), (len(steps), restarts)
    until(lambda: not left_behind(lab, run), 60)
    assert json.loads((run.path / "lease.json").read_text())["given_up"]


def left_behind(lab: Lab, run: Finished) -> str:
    """Processes of the run, on any node."""
    return "".join(
        lab.on(f"n{number}", "pgrep", "-fa", f"launcher.*({run.path}|supervise)").stdout
        for number in range(1, 5)
    )


def rank_pid(lab: Lab, host: str) -> str:
    """A rank of the host: the warm process's youngest child."""
    return lab.on(host, "pgrep", "-n", "-f", "launcher.train.warm").stdout.strip()


def ranks_hosts(lab: Lab, run: Finished) -> list[str]:
    """Its nodes that have ranks beside the warm process, the batch host first; the others are spares."""
    return [
        host
        for host in lab.hosts(run)
        if len(lab.on(host, "pgrep", "-f", "launcher.train.warm").stdout.split()) > 1
    ]


@pytest.mark.long
def test_a_killed_rank_is_started_again_without_the_queue(lab, start, whole):
    run = start()
    host = lab.hosts(run)[1]
    lab.on(host, "kill", "-KILL", rank_pid(lab, host))
    check_finished(lab, run, whole)
    ended = run.events("ended")
    assert [(event["how"], event["hosts"]) for event in ended] == [("crashed", [host])]
    assert "SIGKILL" in ended[0]["reason"]
    assert run.events("submitted")[-1]["job_id"] == lab.job(run)
    status = json.loads(lab.run(*command("status", str(run.path), "--json"), cwd=run.path).stdout)
    assert [one["how"] for one in status["history"]] == ["crashed", "finished"]
    assert 0 < status["effective_training_time"] < 1


@pytest.mark.long
def test_a_stopped_rank_is_noticed_named_and_its_stacks_are_kept(lab, start, whole):
    run = start()
    host = lab.hosts(run)[1]
    lab.on(host, "kill", "-STOP", rank_pid(lab, host))
    check_finished(lab, run, whole)
    (ended,) = run.events("ended")
    assert (ended["how"], ended["hosts"]) == ("hung", [host])
    stacks = sorted(run.path.glob("logs/*_1/stacks_rank_*.txt"))
    assert len(stacks) == 2
    assert "state T" in stacks[1].read_text()
    assert 'File "' in stacks[0].read_text()


@pytest.mark.long
def test_a_rank_that_is_stopped_before_its_first_step_is_noticed_as_soon(lab, start, whole, folder):
    once = folder / "stop_once"
    once.touch()
    run = start(f"+plugins.slow.stops={once}", wait="started")
    host = lab.hosts(run)[1]
    check_finished(lab, run, whole)
    (ended,) = run.events("ended")
    assert (ended["how"], ended["hosts"]) == ("hung", [host])
    assert ended["reason"].startswith(f"rank 1 on {host} was stopped from outside (SIGSTOP) in phase 'data'")
    assert ended["seconds"] < 60  # to read the data may take an hour


@pytest.mark.long
def test_a_crash_on_one_host_at_one_step_is_tried_again(lab, start, whole):
    run = start(wait="training")
    (run.path / "fault.py").write_text(
        "if step == 25 and rank == 1: fault.unlink(); raise ValueError('bit rot')"
    )
    check_finished(lab, run, whole)
    assert "rank 1 on " in run.events("ended")[0]["reason"] and "bit rot" in run.events("ended")[0]["reason"]


@pytest.mark.long
def test_a_crash_at_every_start_stops_the_run_for_good(lab, start):
    run = start("model.attn_implementation=nobody/no_such_kernel", wait="stopped")
    stopped = run.events("stopped")[0]
    assert stopped["exit_code"] == 9
    assert stopped["reason"].startswith("rank ") and "3 attempts in a row" in stopped["reason"]
    assert len(run.events("started")) == 3
    until(lambda: lab.state(run) == "failed")


@pytest.mark.long
def test_a_preempted_run_saves_shuts_down_and_continues(lab, start, whole, folder):
    run = start("+cluster.sbatch.partition=low")
    high = lab.run(
        "sbatch", "--parsable", "--partition=high", "--nodes=4", "--exclusive", "--wrap=sleep 3", cwd=folder
    ).stdout.strip()
    assert high
    check_finished(lab, run, whole)
    (ended,) = run.events("ended")
    assert ended["how"] == "shut_down"
    assert run.events("told")[0]["why"] == "pre-empted"
    assert len({event["job_id"] for event in run.events("started")}) == 1


def test_the_time_limit_is_not_the_end_of_a_run(lab, start):
    """Slurm looks at time limits about every 30 s, and signals up to that much early: here 40 to 70 s after the start.

    A loaded machine needs up to half a minute until the second attempt has resumed, and is not signalled before.
    """
    run = start(
        "resources.time=00:02:00", "trainer.max_steps=3000", "cluster.sbatch.signal=B:USR1@50", pause_s=0.2
    )
    until(lambda: bool(run.events("requeued")), 120)
    assert run.events("told")[0]["why"] == "time limit"
    assert run.events("ended")[0]["how"] == "shut_down"
    saved = run.events("saved")[-1]
    assert saved["why"] == "told"
    until(lambda: bool(run.events("resumed")), 120)
    assert run.events("resumed")[0]["step"] == saved["step"]
    # a host with faults in earlier runs, or a slow one (the nodes share one machine), is left out, which takes a new job
    log = "".join(path.read_text() for path in run.path.glob("logs/slurm_*.log"))
    same = len({event["job_id"] for event in run.events("started")}) == 1
    assert ("is queued again" in log) if same else ("continues, without n" in log)
    lab.run(*command("cancel", str(run.path)), cwd=run.path)
    until(lambda: lab.state(run) == "cancelled")


@pytest.mark.long
def test_a_signal_by_hand_saves_and_the_run_goes_on_in_the_same_job(lab, start, whole):
    """The loaders' worker processes get it too, and the ranks need them until they have left."""
    run = start("+plugins.slow.workers=1")
    job = lab.job(run)
    lab.run("scancel", "--signal=TERM", "--full", job, cwd=run.path)
    check_finished(lab, run, whole)
    assert run.events("told")[0]["why"] == "asked to shut down"
    assert run.events("ended")[0]["how"] == "shut_down"
    assert lab.job(run) == job and not run.events("requeued")
    told = next(event for event in run.events("saved") if event["why"] == "told")
    assert run.events("resumed")[0]["step"] == told["step"]


@pytest.mark.long
def test_a_requeue_by_hand_continues(lab, start, whole):
    run = start()
    lab.run("scontrol", "requeue", lab.job(run), cwd=run.path)
    check_finished(lab, run, whole)
    assert len(run.events("started")) == 2


@pytest.mark.long
def test_a_cancelled_run_saves_and_does_not_come_back(lab, start):
    run = start()
    lab.run(*command("cancel", str(run.path)), cwd=run.path)
    until(lambda: bool(run.events("stopped")), 60)
    assert run.events("ended")[0]["how"] == "shut_down"
    assert "saved at step" in run.events("stopped")[0]["reason"]
    until(lambda: not left_behind(lab, run), 60)
    until(lambda: lab.state(run) == "cancelled")


@pytest.mark.long
def test_a_dead_node_is_replaced_by_a_spare(lab, start, whole):
    run = start("resources.spares=1")
    host = ranks_hosts(lab, run)[1]
    lab("crash", host)
    check_finished(lab, run, whole)
    (ended,) = run.events("ended")
    assert (ended["how"], ended["hosts"]) == ("lost", [host])


@pytest.mark.long
def test_a_dead_node_without_a_spare_takes_the_run_to_other_nodes(lab, start, whole):
    run = start()
    job, host = lab.job(run), lab.hosts(run)[1]
    lab("crash", host)
    check_finished(lab, run, whole)
    assert run.events("ended")[0]["hosts"] == [host]
    assert lab.job(run) != job


@pytest.mark.long
def test_a_dead_batch_host_without_a_spare_takes_the_run_to_other_nodes(lab, start, whole):
    run = start()
    job, host = lab.job(run), lab.hosts(run)[0]
    lab("crash", host)
    check_finished(lab, run, whole, timeout_s=240)
    assert lab.job(run) != job
    (led,) = run.events("led")
    assert led["before"] == host
    assert host in run.events("ended")[0]["hosts"]


@pytest.mark.long
def test_a_dead_batch_host_of_a_job_with_a_spare_is_replaced_in_the_same_job(lab, start, whole):
    run = start("resources.spares=1")
    job, (host, following, _) = lab.job(run), lab.hosts(run)
    lab("crash", host)
    check_finished(lab, run, whole)
    assert lab.job(run) == job and not run.events("requeued")
    (led,) = run.events("led")
    assert (led["before"], led["host"], led["term"]) == (host, following, 2)
    assert [(event["how"], event["hosts"]) for event in run.events("ended")] == [("lost", [host])]
    until(lambda: lab.state(run) == "finished", 60)
    until(lambda: "JobState=COMPLETED" in lab.run("scontrol", "show", "job", job, cwd=Path("/")).stdout, 60)
    assert "ExitCode=0:0" in lab.run("scontrol", "show", "job", job, cwd=Path("/")).stdout


@pytest.mark.long
def test_two_batch_hosts_in_a_row_are_replaced_in_the_same_job(lab, start, whole):
    run = start("resources.spares=2")
    job, hosts = lab.job(run), lab.hosts(run)
    lab("crash", hosts[0])
    until(lambda: len(run.events("led")) == 1 and len(run.events("resumed")) == 1, 60)
    lab("crash", run.events("led")[0]["host"])
    check_finished(lab, run, whole)
    assert lab.job(run) == job and not run.events("requeued")
    assert [(led["before"], led["host"], led["term"]) for led in run.events("led")] == [
        (hosts[0], hosts[1], 2),
        (hosts[1], hosts[2], 3),
    ]


@pytest.mark.long
def test_a_run_whose_batch_host_is_dead_is_cancelled_and_saves(lab, start):
    run = start("resources.spares=1", "trainer.max_steps=3000")
    lab("crash", lab.hosts(run)[0])
    until(lambda: len(run.events("resumed")) == 1, 60)
    lab.run(*command("cancel", str(run.path)), cwd=run.path)
    until(lambda: bool(run.events("stopped")), 60)
    assert run.events("ended")[-1]["how"] == "shut_down"
    assert "saved at step" in run.events("stopped")[0]["reason"]
    until(lambda: not left_behind(lab, run), 60)
    until(lambda: lab.state(run) == "cancelled")


@pytest.mark.long
def test_a_batch_host_that_is_cut_off_loses_the_lead_and_comes_back_without_writing(lab, start, whole):
    run = start("resources.spares=1", "trainer.max_steps=1500")
    job, host = lab.job(run), lab.hosts(run)[0]
    lab("unplug", host)
    until(lambda: len(run.events("resumed")) == 1, 90)
    lab("plug", host)
    lab.wait(run, "finished", 240)
    (led,) = run.events("led")
    assert led["before"] == host
    after = run.events()[run.events().index(led) :]
    # a host that is back in the moment in which Slurm gives it up has the job script killed, and Slurm then ends the job
    ended = [event for event in after if event.get("told") == "the job script has ended"]
    assert len(run.events("requeued")) == len(ended) <= 1
    if not ended:
        assert lab.job(run) == job
        assert [event["host"] for event in after if event["event"] == "started"] == [led["host"]]
    assert len(final_losses(run)) == 1500
    until(lambda: not left_behind(lab, run), 60)
    until(lambda: lab.state(run) == "finished", 60)


SLOWLY = "import time; time.sleep(0.2)"
"""Code for each step, so that the run is not over before its insurance is there."""


def insured(lab: Lab, start: Callable[..., Finished], *overrides: str) -> tuple[Finished, str]:
    """A run whose batch host is dead, and the job that waits as its insurance."""
    run = start("resources.spares=1", *overrides)
    lose_batch_host(lab, run, "crash")
    return run, run.events("insured")[0]["job_id"]


def lose_batch_host(lab: Lab, run: Finished, how: str) -> None:
    (run.path / "fault.py").write_text(SLOWLY)
    lab(how, lab.hosts(run)[0])
    until(lambda: bool(run.events("insured")), 90)
    assert not run.events("finished")


def queue(lab: Lab, run: Finished) -> dict[str, str]:
    """Job -> why it waits, or None, of all jobs of the cluster."""
    done = lab.run("squeue", "--noheader", "--format=%A %r", cwd=run.path)
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


@pytest.mark.long
def test_the_insurance_of_a_job_without_its_batch_host_is_gone_once_the_run_is_over(lab, start, whole):
    run, waiting = insured(lab, start)
    job = lab.job(run)
    assert queue(lab, run) == {job: "None", waiting: "Dependency"}
    status = json.loads(lab.run(*command("status", str(run.path), "--json"), cwd=run.path).stdout)
    assert (status["state"], status["job_id"], status["insurance"]) == ("running", job, waiting)
    told = lab.run(*command("list", "--runs-dir", str(run.path.parents[1])), cwd=run.path).stdout
    assert f"job {waiting} waits as insurance" in told
    (run.path / "fault.py").unlink()
    check_finished(lab, run, whole)
    assert lab.job(run) == job and len(run.events("insured")) == 1
    until(lambda: queue(lab, run) == {}, 60)
    assert {event["job_id"] for event in run.events("started")} == {job}
    assert "CANCELLED" in lab.run("scontrol", "show", "job", waiting, cwd=Path("/")).stdout


@pytest.mark.long
def test_a_second_lost_leader_finds_the_insurance_of_the_first(lab, start, whole):
    run, waiting = insured(lab, start, "resources.spares=2")
    job = lab.job(run)
    lab("crash", run.events("led")[0]["host"])
    until(lambda: len(run.events("led")) == 2 and len(run.events("resumed")) == 2, 90)
    time.sleep(15)  # more than it waits before it looks
    assert sorted(queue(lab, run)) == sorted([job, waiting])
    (run.path / "fault.py").unlink()
    check_finished(lab, run, whole)
    until(lambda: queue(lab, run) == {}, 60)
    assert len(run.events("insured")) == 1


@pytest.mark.long
def test_a_batch_host_that_is_back_with_its_script_dead_ends_the_job_and_the_insurance_goes_on(
    lab, start, whole
):
    run = start("resources.spares=1")
    job, host = lab.job(run), lab.hosts(run)[0]
    lose_batch_host(lab, run, "unplug")
    waiting = run.events("insured")[0]["job_id"]
    lab.on(host, "pkill", "-KILL", "-f", "slurm_script")
    lab("plug", host)
    until(lambda: "JobState=RUNNING" not in lab.run("scontrol", "show", "job", job, cwd=Path("/")).stdout, 90)
    until(lambda: [one["job_id"] for one in run.events("started")][-1] == waiting, 120)
    (run.path / "fault.py").unlink(missing_ok=True)
    check_finished(lab, run, whole)
    assert lab.job(run) == waiting
    assert [event["job_id"] for event in run.events("submitted")] == [job, waiting]
    until(lambda: queue(lab, run) == {}, 60)


@pytest.mark.long
def test_a_batch_host_that_boots_before_slurm_has_missed_it_ends_the_job_and_the_insurance_goes_on(
    lab, start, whole
):
    """Without requeueing: else Slurm queues the same job again, and the insurance waits behind it."""
    run = start("resources.spares=1", "+cluster.sbatch.no-requeue=true")
    job, host = lab.job(run), lab.hosts(run)[0]
    lose_batch_host(lab, run, "crash")
    waiting = run.events("insured")[0]["job_id"]
    lab("boot", host)
    until(lambda: "JobState=RUNNING" not in lab.run("scontrol", "show", "job", job, cwd=Path("/")).stdout, 60)
    until(lambda: [one["job_id"] for one in run.events("started")][-1] == waiting, 120)
    (run.path / "fault.py").unlink(missing_ok=True)
    check_finished(lab, run, whole)
    assert [event["job_id"] for event in run.events("submitted")] == [job, waiting]
    until(lambda: queue(lab, run) == {}, 60)


@pytest.mark.long
@pytest.mark.parametrize("with_insurance", [True, False])
def test_the_last_leader_that_dies_with_its_host_gives_the_run_back_to_the_queue(
    lab, start, whole, with_insurance: bool
):
    """Of three nodes one is left, which is too few to lead. The lab has no three nodes until the dead ones boot."""
    run = start("resources.spares=1", f"cluster.insurance={str(with_insurance).lower()}")
    job, first = lab.job(run), lab.hosts(run)[0]
    (run.path / "fault.py").write_text(SLOWLY)
    lab("crash", first)
    until(lambda: bool(run.events("insured" if with_insurance else "resumed")), 90)
    second = run.events("led")[0]["host"]
    lab("crash", second)
    until(lambda: bool(run.events("requeued")), 240)
    for host in (first, second):
        lab("boot", host)
    (run.path / "fault.py").unlink(missing_ok=True)
    until(lambda: len(run.events("started")) == 3, 240)
    check_finished(lab, run, whole)
    waiting = [event["job_id"] for event in run.events("insured")]
    assert [event["job_id"] for event in run.events("submitted")] == [job, *waiting]
    assert run.events("started")[-1]["job_id"] == (waiting or [job])[0]


@pytest.mark.long
@pytest.mark.parametrize("verb", [True, False])
def test_after_a_cancel_of_a_job_without_its_batch_host_no_insurance_trains(lab, start, verb: bool):
    run, waiting = insured(lab, start)
    started = run.events("started")
    lab.run(*(command("cancel", str(run.path)) if verb else ("scancel", lab.job(run))), cwd=run.path)
    until(lambda: queue(lab, run) == {}, 120)
    assert run.events("started") == started
    assert bool(run.events("cancelled")) == verb
    assert lab.state(run) == "cancelled"
    assert not left_behind(lab, run)
    state = lab.run("scontrol", "show", "job", waiting, cwd=Path("/")).stdout
    assert "JobState=CANCELLED" in state or "JobState=COMPLETED" in state


def supervisor_pid(lab: Lab, host: str) -> str:
    """The supervisor that the job script has started."""
    return lab.on(host, "pgrep", "-f", "launcher.supervise [.]").stdout.split()[0]


@pytest.mark.long
def test_a_killed_supervisor_is_started_again_and_its_agents_follow_it(lab, start, whole):
    run = start()
    job, host = lab.job(run), lab.hosts(run)[0]
    lab.on(host, "kill", "-KILL", supervisor_pid(lab, host))
    check_finished(lab, run, whole)
    assert lab.job(run) == job and not run.events("requeued")
    (led,) = run.events("led")
    assert (led["before"], led["host"], led["term"]) == (host, host, 2)
    assert [(event["how"], event["hosts"]) for event in run.events("ended")] == [("lost", [])]
    until(lambda: lab.state(run) == "finished", 60)


@pytest.mark.long
def test_a_stopped_supervisor_is_continued_and_nothing_else_happens(lab, start, whole):
    run = start()
    host = lab.hosts(run)[0]
    lab.on(host, "kill", "-STOP", supervisor_pid(lab, host))
    check_finished(lab, run, whole)
    assert not run.events("led") and not run.events("ended")
    assert "was stopped (SIGSTOP); it is continued" in run.logs()


FREEZE = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
for thread in map(int, os.listdir(f"/proc/{sys.argv[1]}/task")):
    for request in (0x4206, 0x4207):  # PTRACE_SEIZE, PTRACE_INTERRUPT of ptrace(2)
        assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())
signal.pause()
"""
"""Stops every thread of a process until this one ends. SIGCONT does not continue it, as in a host that is suspended."""


@pytest.mark.long
def test_a_supervisor_that_stays_stopped_is_replaced_and_writes_nothing_when_it_wakes_up(lab, start, folder):
    run = start("resources.spares=1", "trainer.max_steps=600")
    job, host = lab.job(run), lab.hosts(run)[0]
    (folder / "freeze.py").write_text(FREEZE)
    freeze = f"{sys.executable} {folder}/freeze.py {supervisor_pid(lab, host)}"
    lab.on(host, "sh", "-c", f"({freeze}) >{folder}/freeze.log 2>&1 &")
    until(lambda: len(run.events("resumed")) == 1, 90)
    (led,) = run.events("led")
    assert lab.on(host, "pkill", "-f", "freeze.py").returncode == 0, (folder / "freeze.log").read_text()
    lab.wait(run, "finished", 400)
    assert lab.job(run) == job and not run.events("requeued")
    assert led["term"] == 2 and len(run.events("led")) == len(run.events("ended")) == 1
    until(lambda: not left_behind(lab, run), 60)
    until(lambda: lab.state(run) == "finished", 60)


@pytest.mark.long
def test_a_run_whose_job_script_is_killed_is_queued_again_or_can_be_resumed(lab, start, whole):
    run = start()
    host = lab.hosts(run)[0]
    lab.on(host, "pkill", "-KILL", "-f", "slurm_script")
    # Slurm ends the job meanwhile: whether another supervisor is there before it has is a race
    until(lambda: bool(run.events("requeued")) or lab.state(run) in ("failed", "lost"), 90)
    if run.events("requeued"):
        attempt = run.events("requeued")[0]["attempt"]
        (cut,) = [event for event in run.events("ended") if event["attempt"] == attempt]
        # or an agent has taken the lead before Slurm ended it too, and could start no attempt any more
        assert cut["told"] == "the job script has ended" or cut["how"] == "lost"
    else:
        until(lambda: not left_behind(lab, run), 60)
        lab.run(*command("resume", str(run.path)), cwd=run.path)
    check_finished(lab, run, whole)


@pytest.mark.long
def test_a_network_cut_for_a_moment_is_waited_out(lab, start, whole):
    run = start()
    host = lab.hosts(run)[1]
    lab("unplug", host)
    time.sleep(2)
    lab("plug", host)
    check_finished(lab, run, whole)
    assert len(run.events("started")) <= 2


@pytest.mark.long
def test_a_network_cut_for_good_takes_the_run_elsewhere(lab, start, whole):
    run = start("resources.spares=1")
    host = ranks_hosts(lab, run)[1]
    lab("unplug", host)
    check_finished(lab, run, whole)
    assert run.events("ended")[0]["hosts"] == [host]


@pytest.mark.long
def test_a_dead_slurmd_does_not_harm_a_run_whose_node_lives(lab, start, whole):
    run = start()
    host = lab.hosts(run)[1]
    lab("kill-slurmd", host)
    try:
        check_finished(lab, run, whole, timeout_s=240)
    finally:
        lab("start-slurmd", host)


@pytest.mark.long
@pytest.mark.parametrize("when", ["in the middle", "at the end"])
def test_slurmctld_may_be_away(lab, start, whole, when):
    run = start()
    pid = lab.run("cat", f"{lab.folder}/run/slurmctld.pid", cwd=run.path).stdout.strip()
    lab.run("kill", "-STOP", pid, cwd=run.path)
    if when == "in the middle":
        time.sleep(3)
    else:
        until(lambda: bool(run.events("finished")), 120)
    lab.run("kill", "-CONT", pid, cwd=run.path)
    check_finished(lab, run, whole)
    until(lambda: lab.state(run) == "finished", 60)


@pytest.mark.long
def test_a_killed_slurmctld_finds_the_run_again(lab, start, whole):
    run = start()
    pid = lab.run("cat", f"{lab.folder}/run/slurmctld.pid", cwd=run.path).stdout.strip()
    lab("kill-ctld")
    gone = lab.run("kill", "-0", pid, cwd=run.path, check=False)
    assert gone.returncode != 0
    time.sleep(3)
    lab("start-ctld")
    assert lab.run("cat", f"{lab.folder}/run/slurmctld.pid", cwd=run.path).stdout.strip() != pid
    assert not run.events("finished")
    check_finished(lab, run, whole)
    until(lambda: lab.state(run) == "finished", 60)


@pytest.mark.long
def test_a_second_job_on_one_run_dir_leaves_without_writing(lab, start, whole):
    run = start()
    before = len(run.events("started"))
    second = lab.run("sbatch", "--parsable", "job.sbatch", cwd=run.path).stdout.strip()
    log = run.path / "logs" / f"slurm_{second}.log"
    until(lambda: log.exists() and "is being trained by job" in log.read_text(), 60)
    assert len(run.events("started")) == before
    check_finished(lab, run, whole)
    state = lab.run("scontrol", "show", "job", second, cwd=run.path).stdout
    assert "ExitCode=7:0" in state


@pytest.mark.long
def test_where_requeueing_is_forbidden_a_new_job_continues(lab, start, whole):
    run = start("+cluster.sbatch.no-requeue=true")
    job = lab.job(run)
    lab.run("scancel", "--signal=USR1", "--batch", job, cwd=run.path)
    check_finished(lab, run, whole)
    assert run.events("ended")[0]["how"] == "shut_down"
    assert len(run.events("started")) == 2
    assert lab.job(run) != job


@pytest.mark.long
def test_a_slow_host_is_named_and_the_next_job_leaves_it_out(lab, start):
    run = start("trainer.max_steps=20000", "plugins.sharded_checkpoint.save_steps=200", wait="training")
    host = lab.hosts(run)[1]
    pid = rank_pid(lab, host)
    slow_down = f"while kill -STOP {pid}; do sleep 0.01; kill -CONT {pid}; sleep 0.002; done"
    until(lambda: (run.path / "metrics.jsonl").exists(), 60)
    lab.on(host, "sh", "-c", f"({slow_down}) >/dev/null 2>&1 &")
    until(lambda: len(run.events("slow")) == 2, 420)
    assert [one["host"] for one in run.events("slow")] == [host, host]
    assert all(one["relative"] < 0.7 for one in run.events("slow"))
    assert [one["confirmed"] for one in run.events("slow")] == [False, True]
    status = lab.run(*command("status", str(run.path)), cwd=run.path).stdout
    assert f"slow host  {host}: 0." in status and "next save" in status
    job = lab.job(run)
    lab.run("scancel", "--signal=USR1", "--batch", job, cwd=run.path)
    until(lambda: len(run.events("resumed")) == 1, 120)
    assert lab.job(run) != job
    assert host not in lab.hosts(run)
    lab.run(*command("cancel", str(run.path)), cwd=run.path)


@pytest.mark.long
def test_a_link_that_drops_everything_is_found_before_the_ranks_wait_on_it(lab, start, whole, folder):
    for behind in ("n2", "n3", "n4"):  # n1 leads and reaches all; n2 is cut off from the others
        address = lab.on("n1", "getent", "hosts", behind).stdout.split()[0]
        if behind != "n2":
            lab.on("n2", "ip", "route", "add", "blackhole", address)
    try:
        run = start("resources.spares=1", "+cluster.sbatch.exclude=n4", wait="finished")
        (found,) = run.events("preflight")
        assert "does not reach n3" in found["problem"]
        assert len(run.events("started")) == 1
        assert final_losses(run) == whole.losses
    finally:
        lab.on("n2", "ip", "route", "flush", "type", "blackhole")


@pytest.mark.long
def test_out_of_gpu_memory_is_not_tried_again(lab, start):
    run = start(wait="training")
    (run.path / "fault.py").write_text(
        "if rank == 1: import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')"
    )
    until(lambda: bool(run.events("stopped")), 60)
    (stopped,) = run.events("stopped")
    assert stopped["exit_code"] == 8
    assert "out of memory" in stopped["reason"] and "launcher plan" in stopped["reason"]
    assert len(run.events("started")) == 1
    until(lambda: not left_behind(lab, run), 60)


@pytest.mark.long
def test_a_nan_loss_rolls_back_and_leaves_the_batch_out(lab, start, whole):
    run = start()
    poison = "import torch\nfor one in model.parameters():\n    one.data.fill_(float('nan'))"
    (run.path / "fault.py").write_text(f"if rank == 0: fault.unlink(missing_ok=True)\n{poison}")
    lab.wait(run, "finished")
    (diverged,) = run.events("diverged")
    assert run.events("ended")[0]["exit_code"] == 10
    assert run.events("resumed")[0]["step"] <= diverged["step"]
    assert len(final_losses(run)) == len(whole.losses)
    assert all(loss == loss for loss in final_losses(run))


@pytest.mark.long
def test_a_host_that_cannot_write_stops_the_run_with_its_own_exit_code(lab, start):
    run = start()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))"
    (run.path / "fault.py").write_text(f"if rank == 1: {limit}")
    until(lambda: bool(run.events("stopped")), 90)
    (stopped,) = run.events("stopped")
    assert stopped["exit_code"] == 6
    assert len(run.events("started")) == 1
    until(lambda: not left_behind(lab, run), 60)


@pytest.mark.long
def test_a_full_file_system_stops_the_run_and_resume_continues_once_there_is_room(lab, start, whole):
    run = start(f"runs_dir={lab.folder}/small/runs", wait="")
    seen = lab.seen(run)
    lab.wait(seen, "saved")
    others = seen.path.parents[2] / "others"
    fill(others)
    until(lambda: not left_behind(lab, run), 90)
    job = lab.job(seen)
    told = lab.run("scontrol", "show", "job", job, cwd=Path("/")).stdout
    assert "ExitCode=6:0" in told, (told, seen.events(), seen.logs())
    assert len(seen.events("started")) == 1
    saved = [event["step"] for event in seen.events("saved")]
    assert f"step_{saved[-1]:08d}" in [folder.name for folder in (seen.path / "checkpoints").iterdir()]
    others.unlink()
    lab.run(*command("resume", str(run.path)), cwd=run.path.parents[3])
    until(lambda: bool(seen.events("finished")), 150)  # a first "stopped" may have found room, or not
    check_finished(lab, seen, whole)
    assert seen.events("resumed")[0]["step"] == saved[-1]
    assert not seen.events("checkpoint_broken")


def fill(path: Path) -> None:
    """A file that takes all that is free."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
