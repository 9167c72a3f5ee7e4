"""The terms of a job's supervisors in its run dir, leader.json, and the script that starts a killed supervisor again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.errors import AlreadyRunning
from launcher.processes import start_ticks
from launcher.render import render_script
from launcher.run import RunDir
from launcher.run.events import supervisor as noted
from launcher.run.nonce import leased_to, newest_term
from launcher.supervise.growing_file import start_with_file
from launcher.supervise.leader_file import Leader, read_leader, write_leader
from launcher.supervise.lease import Lease, newest_heartbeat, read_holder
from launcher.supervise.node_pool import StepOutput
from launcher.supervise.steady import Fenced, SteadyRun
from launcher.supervise.supervisor import final_code


def who(host: str, job_id: str = "1") -> dict[str, Any]:
    return {"job_id": job_id, "restart": 0, "host": host, "pid": 1, "started": 1}


@pytest.fixture
def first(tmp_path: Path) -> Lease:
    lease = Lease(RunDir(tmp_path), who("n1"))
    lease.take(lambda holder: True)
    return lease


def test_a_successor_fences_the_ones_before_it_and_their_ranks(first: Lease):
    second, third = Lease(first.run, who("n2")), Lease(first.run, who("n3"))
    assert second.succeed(first.first, 2)
    assert (first.held(), second.held()) == (False, True)
    assert not leased_to(first.run, first.nonce) and leased_to(first.run, second.nonce)
    assert third.succeed(first.first, 3)
    assert not second.held() and third.held()
    assert newest_term(first.run, first.first) == third.term == 3


def test_the_holder_of_a_lease_that_is_gone_or_damaged_is_nobody(first: Lease):
    holder = read_holder(first.run)
    assert holder is not None and (holder["nonce"], holder["host"]) == (first.nonce, "n1")
    first.run.lease.write_text('{"nonce": ')
    assert read_holder(first.run) is None
    first.run.lease.unlink()
    assert read_holder(first.run) is None


def test_of_many_that_claim_a_term_at_once_one_has_it(first: Lease):
    for term in range(2, 12):
        leases = [Lease(first.run, who(f"n{number}")) for number in range(8)]
        won: list[Lease] = []

        def claim(lease: Lease, term: int = term, won: list[Lease] = won) -> None:
            if lease.succeed(first.first, term):
                won.append(lease)

        threads = [threading.Thread(target=claim, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and won[0].held()


def test_one_that_comes_too_late_for_its_term_does_not_lead(first: Lease):
    second, late = Lease(first.run, who("n2")), Lease(first.run, who("n3"))
    assert second.succeed(first.first, 2)
    assert not late.succeed(first.first, 2)
    assert second.held()


def test_a_later_job_takes_the_run_dir_from_every_supervisor_of_the_earlier_one(first: Lease):
    second = Lease(first.run, who("n2"))
    assert second.succeed(first.first, 2)
    with pytest.raises(AlreadyRunning):
        Lease(first.run, who("n4", job_id="2")).take(lambda holder: True)
    later = Lease(first.run, who("n4", job_id="2"))
    later.take(lambda holder: False)
    assert later.held() and not second.held() and not first.held()
    assert not Lease(first.run, who("n3")).succeed(first.first, 3)
    assert later.held()


def test_a_lease_that_was_given_up_is_free_for_a_later_job_and_for_no_successor(first: Lease):
    second = Lease(first.run, who("n2"))
    assert second.succeed(first.first, 2)
    first.release()
    assert second.held()
    second.release()
    assert not second.held() and read_holder(first.run) is None
    assert second.may_write() and not first.may_write()
    assert not Lease(first.run, who("n3")).succeed(first.first, 3)
    later = Lease(first.run, who("n4", job_id="2"))
    later.take(lambda holder: True)  # nobody has to say whether the earlier one lives
    assert later.held() and json.loads(first.run.lease.read_text())["nonce"] == later.nonce


def test_the_holder_beats_and_a_resting_one_does_not(first: Lease):
    first.watch(0.02)
    before = newest_heartbeat(first.run)
    time.sleep(0.2)
    assert newest_heartbeat(first.run) != before
    first.resting = True
    time.sleep(0.1)
    before = newest_heartbeat(first.run)
    time.sleep(0.2)
    assert newest_heartbeat(first.run) == before
    first.release()


def test_leader_json_alone_fences_where_a_client_of_nfs_does_not_see_a_new_file_yet(first: Lease):
    write_leader(first.run, leader(first.first, term=2, claimed=False))
    assert first.held()
    write_leader(first.run, leader(first.first, term=2, claimed=True))
    assert not first.held()


def test_a_supervisor_that_was_stopped_writes_nothing_after_another_has_taken_over(first: Lease):
    run = SteadyRun(first.run.path)
    run.guards.append(first.may_write)
    run.note(noted.Started(attempt=1))
    assert Lease(run, who("n2")).succeed(first.first, 2)
    with pytest.raises(Fenced):
        run.note(noted.Started(attempt=2))
    assert run.attempts() == 1 and not run.waiting


def leader(first: str, **changes: Any) -> Leader:
    values = {"term": 2, "claimed": True, "index": 1, "host": "n2", "pid": 7, "started": 8, "batch": False}
    return Leader(**{"first": first, "addresses": "n2:10000", **values, **changes})


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '{"first": "a"}', '{"first": 3}', '{"term": -1}', '{"pid": 0}', '{"term": true}']
)  # fmt: skip
def test_a_leader_json_that_is_not_valid_names_no_leader(tmp_path: Path, text: str):
    run = RunDir(tmp_path)
    write_leader(run, leader("a"))
    assert read_leader(run, "a") == leader("a") and read_leader(run, "b") is None
    changed = text
    if text.startswith("{") and text.endswith("}"):
        changed = json.dumps({**json.loads(run.leader.read_text()), **json.loads(text)})
    if text == '{"first": "a"}':
        changed = text
    run.leader.write_text(changed)
    assert read_leader(run, "a") is None


def test_a_supervisor_of_this_host_is_known_to_be_stopped_or_gone(tmp_path: Path):
    child = subprocess.Popen(["sleep", "60"])
    one = leader("a", pid=child.pid, started=start_ticks(child.pid), batch=True)
    assert not one.stopped_here("n2") and not one.ended_here("n2")
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert one.stopped_here("n2") and not one.stopped_here("n1")
    child.kill()
    child.wait()
    assert one.ended_here("n2") and not one.ended_here("n1")


def test_a_step_that_outlives_its_supervisor_is_read_as_through_a_pipe(tmp_path: Path, capfd):
    text = "echo srun: first >&2; sleep 0.3; echo srun: second >&2; exit 3"
    process, said = start_with_file(["bash", "-c", text], str(tmp_path), dict(os.environ))
    output = StepOutput(said)
    assert process.wait() == 3
    assert output.words() == "srun: first; srun: second"
    assert capfd.readouterr().err == "srun: first\nsrun: second\n"


def test_a_step_goes_on_when_its_supervisor_is_killed(tmp_path: Path):
    step = "sleep 0.5; echo a line >&2; echo more >&2; touch done"
    code = (
        "import os, signal; from launcher.supervise.growing_file import start_with_file; "
        f"start_with_file(['bash', '-c', {step!r}], {str(tmp_path)!r}, dict(os.environ)); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], timeout=20)
    deadline = time.monotonic() + 10
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([noted.Started(attempt=1), noted.Finished(attempt=1)], 0),
        ([noted.Started(attempt=1), noted.Stopped(attempt=1, exit_code=9)], 9),
        ([noted.Started(attempt=1), noted.Requeued(attempt=1)], 75),
        ([noted.Requeued(attempt=1), noted.Started(attempt=2)], None),
        ([], None),
    ],
)
def test_the_last_event_of_a_run_says_how_its_job_ends(events: Any, code: int | None):
    assert final_code(events) == code


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts the last lines of a job script, with a program in place of the supervisor."""

    def kept(program: str) -> subprocess.Popen[str]:
        python = tmp_path / "python 3"
        python.write_text(f"#!/bin/bash\n{program}\n")
        python.chmod(0o755)
        script = render_script("keep.sh.j2", plan=SimpleNamespace(facts=SimpleNamespace(python=str(python))))
        text = f"set -euo pipefail\n{script}"
        return subprocess.Popen(
            ["bash", "-c", text],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # bash cannot trap a signal that was ignored when it started, as under nohup
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )

    return kept


def test_the_job_script_starts_a_killed_supervisor_again_and_ends_with_its_exit_code(kept, tmp_path: Path):
    job = kept('echo "$*" >> calls; [ "$(wc -l < calls)" = 2 ] && exit 75; kill -KILL $$')
    _, said = job.communicate(timeout=20)
    assert job.returncode == 75
    assert (tmp_path / "calls").read_text().splitlines() == ["-m launcher.supervise . --kept"] * 2
    assert "launcher: the supervisor was ended by signal 9; it is started again" in said


def test_the_job_script_gives_up_after_three_kills_in_a_row(kept, tmp_path: Path):
    job = kept("echo >> calls; kill -KILL $$")
    job.communicate(timeout=20)
    assert (job.returncode, (tmp_path / "calls").read_text()) == (137, "\n\n\n")


ALL = "TERM INT HUP USR1 USR2"
"""The signals that a supervisor handles."""


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "USR2"])
def test_the_job_script_passes_signals_on_and_waits_for_the_supervisor(kept, tmp_path: Path, name: str):
    others = ALL.replace(name, "")
    job = kept(
        f"trap : {others}; trap 'sleep 0.3; echo got; exit 74' {name}; touch ready; while :; do sleep 0.05; done"
    )
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    time.sleep(0.5)  # then the script waits for the supervisor alone
    job.send_signal(getattr(signal, f"SIG{name}"))
    said, _ = job.communicate(timeout=20)
    assert (job.returncode, said) == (74, "got\n")


NOTES = "; ".join(f"trap 'echo {name} >> got' {name}" for name in ALL.split())
"""A supervisor that notes the signals that it gets."""


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_a_signal_before_the_supervisor_can_handle_it_reaches_it_once_it_can(kept, tmp_path: Path, name: str):
    """A supervisor needs a second until it handles signals, and SIGTERM ends a process that does not."""
    job = kept(f"touch begun; sleep 1; {NOTES}; while [ ! -e got ]; do sleep 0.05; done; sleep 0.5; exit 74")
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    job.send_signal(getattr(signal, f"SIG{name}"))
    job.communicate(timeout=20)
    assert (job.returncode, (tmp_path / "got").read_text()) == (74, f"{name}\n")


def test_signals_between_two_supervisors_reach_the_second_one_in_their_order(kept, tmp_path: Path):
    """The first one ends as soon as the script has two signals for it, and before it can handle any."""
    second = f"{NOTES}; while [ ! -e got ]; do sleep 0.05; done; sleep 0.5; exit 74"
    job = kept(
        f"if [ -e begun ]; then {second}; fi; touch begun; while [ ! -e end ]; do sleep 0.05; done; kill -KILL $$"
    )
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    for name in ("USR1", "TERM"):
        job.send_signal(getattr(signal, f"SIG{name}"))
        time.sleep(0.5)
    (tmp_path / "end").touch()
    job.communicate(timeout=20)
    assert (job.returncode, (tmp_path / "got").read_text()) == (74, "USR1\nTERM\n")


def test_a_signal_between_the_trap_and_the_start_is_not_lost(tmp_path: Path):
    """The shell sends itself a signal after each trap, before it has started anything."""
    text = render_script(
        "keep.sh.j2", plan=SimpleNamespace(facts=SimpleNamespace(python=str(tmp_path / "python")))
    )
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\n{NOTES}\nwhile [ ! -e got ]; do sleep 0.05; done; sleep 0.5; exit 74\n")
    python.chmod(0o755)
    assert text.count("quick=0\nwhile") == 1
    text = text.replace("quick=0\nwhile", "kill -s TERM $$\nquick=0\nwhile")
    done = subprocess.run(["bash", "-c", f"set -euo pipefail\n{text}"], cwd=tmp_path, timeout=20)
    assert (done.returncode, (tmp_path / "got").read_text()) == (74, "TERM\n")
