"""What the supervisor does at each end of the ranks, what it learns, and who may write a run dir."""

import json
import subprocess
import sys
import threading
import time
from datetime import datetime

import pytest

from launcher.clusters.slurm.queue import parse_record
from launcher.config.spelling import limit_s
from launcher.errors import AlreadyRunning, Exit
from launcher.plan.queue import notice_s
from launcher.run import RunDir
from launcher.run.nonce import leased_to
from launcher.run.totals import Faults, faults
from launcher.supervise.hosts import note_faults, recent_suspects, record_path
from launcher.supervise.lease import Lease
from launcher.supervise.link_check import LinkCheck, blame_hosts, name_nodes
from launcher.supervise.orphaned import is_orphaned, is_own
from launcher.supervise.pace import HangLimits
from launcher.supervise.place import why_ended
from launcher.supervise.policy import (
    TRIES,
    Capacity,
    Do,
    EndedAttempt,
    How,
    StopReason,
    blamed,
    decide,
    suspects,
)
from tests.support.events import history_of

WHOLE = Capacity(can_requeue=True, healthy_nodes=2, needed_nodes=2)
ONE_LEFT = Capacity(can_requeue=True, healthy_nodes=1, needed_nodes=2)
STAYS = Capacity(can_requeue=True, healthy_nodes=2, needed_nodes=2, keeps_job=True)
NOWHERE = Capacity(can_requeue=False, healthy_nodes=1, needed_nodes=2)


@pytest.mark.parametrize(
    ("ended", "place", "without", "do", "code"),
    [
        (EndedAttempt(how=How.FINISHED), WHOLE, 0, Do.FINISH, 0),
        # A crash, a hang or a lost node: again, here where the nodes are left, elsewhere where they are not.
        (EndedAttempt(how=How.CRASHED, code=3), WHOLE, 1, Do.RESTART, 0),
        (EndedAttempt(how=How.CRASHED, code=137), WHOLE, 1, Do.RESTART, 0),
        (EndedAttempt(how=How.HUNG, code=3), WHOLE, 1, Do.RESTART, 0),
        (EndedAttempt(how=How.LOST), WHOLE, 1, Do.RESTART, 0),
        (EndedAttempt(how=How.LOST), ONE_LEFT, 1, Do.REQUEUE, Exit.REQUEUED),
        (EndedAttempt(how=How.LOST), NOWHERE, 1, Do.STOP, Exit.FAILED),
        # Three in a row without a new checkpoint.
        (EndedAttempt(how=How.CRASHED, code=3), WHOLE, TRIES - 1, Do.RESTART, 0),
        (EndedAttempt(how=How.CRASHED, code=3), WHOLE, TRIES, Do.STOP, Exit.NO_PROGRESS),
        (EndedAttempt(how=How.HUNG, code=3), WHOLE, TRIES, Do.STOP, Exit.NO_PROGRESS),
        (EndedAttempt(how=How.LOST), ONE_LEFT, TRIES, Do.STOP, Exit.NO_PROGRESS),
        (
            EndedAttempt(how=How.CUT, code=138, told=StopReason.TIME_LIMIT),
            WHOLE,
            TRIES,
            Do.STOP,
            Exit.NO_PROGRESS,
        ),
        # What a restart cannot help.
        (EndedAttempt(how=How.CRASHED, code=Exit.NOT_AS_PLANNED), WHOLE, 1, Do.STOP, Exit.NOT_AS_PLANNED),
        (EndedAttempt(how=How.CRASHED, code=Exit.REFUSED), WHOLE, 1, Do.STOP, Exit.REFUSED),
        (EndedAttempt(how=How.CRASHED, code=Exit.SAVE_FAILED), WHOLE, 1, Do.STOP, Exit.SAVE_FAILED),
        (EndedAttempt(how=How.CRASHED, code=Exit.OUT_OF_MEMORY), WHOLE, 1, Do.STOP, Exit.OUT_OF_MEMORY),
        # StopReason to end.
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.TIME_LIMIT), WHOLE, 0, Do.REQUEUE, Exit.REQUEUED),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.ASKED), WHOLE, 0, Do.REQUEUE, Exit.REQUEUED),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.ASKED), STAYS, 0, Do.RESTART, Exit.OK),
        (EndedAttempt(how=How.CUT, code=143, told=StopReason.ASKED), STAYS, 1, Do.REQUEUE, Exit.REQUEUED),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.TIME_LIMIT), STAYS, 0, Do.REQUEUE, Exit.REQUEUED),
        (
            EndedAttempt(how=How.CUT, code=138, told=StopReason.TIME_LIMIT),
            WHOLE,
            1,
            Do.REQUEUE,
            Exit.REQUEUED,
        ),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.SCRIPT_ENDED), WHOLE, 0, Do.REQUEUE, Exit.REQUEUED),
        (
            EndedAttempt(how=How.CUT, code=143, told=StopReason.SCRIPT_ENDED),
            WHOLE,
            1,
            Do.REQUEUE,
            Exit.REQUEUED,
        ),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.TIME_LIMIT), NOWHERE, 0, Do.STOP, Exit.TERMINATED),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.PREEMPTED), WHOLE, 0, Do.FINISH, Exit.REQUEUED),
        (EndedAttempt(how=How.SHUT_DOWN, told=StopReason.CANCELLED), WHOLE, 0, Do.STOP, Exit.TERMINATED),
        (EndedAttempt(how=How.CUT, code=140, told=StopReason.PRUNED), WHOLE, 1, Do.STOP, Exit.PRUNED),
        (EndedAttempt(how=How.CUT, code=140, told=StopReason.PRUNED), WHOLE, TRIES, Do.STOP, Exit.PRUNED),
        (EndedAttempt(how=How.CUT, code=130, told=StopReason.CANCELLED), WHOLE, 1, Do.STOP, Exit.INTERRUPTED),
    ],
)
def test_every_end_has_one_answer(ended, place, without, do, code):
    action = decide(ended, Faults(without_progress=without), place)
    assert (action.do, action.code) == (do, code)


def test_a_nan_loss_is_rolled_back_twice():
    ended = EndedAttempt(how=How.CRASHED, code=Exit.DIVERGED, reason="loss is nan at step 7")
    assert decide(ended, Faults(without_progress=1, diverged=2), WHOLE).do is Do.RESTART
    action = decide(ended, Faults(without_progress=1, diverged=3), WHOLE)
    assert (action.do, action.code) == (Do.STOP, Exit.DIVERGED)
    assert "trainer.learning_rate" in action.reason


def _ended(how: How, *hosts: str, told: StopReason = StopReason.NOTHING) -> dict[str, object]:
    return {"event": "ended", "how": how.value, "hosts": list(hosts), "told": told.value}


@pytest.mark.parametrize(
    ("events", "without"),
    [
        ([], 0),
        ([_ended(How.CRASHED), _ended(How.HUNG), _ended(How.LOST)], 3),
        ([_ended(How.CRASHED), {"event": "saved", "step": 5}, _ended(How.CRASHED)], 1),
        ([_ended(How.CRASHED), {"event": "started"}, _ended(How.CRASHED)], 2),
        ([_ended(How.SHUT_DOWN), _ended(How.CUT, told=StopReason.CANCELLED)], 0),
        ([_ended(How.CUT, told=StopReason.TIME_LIMIT), _ended(How.CUT, told=StopReason.TIME_LIMIT)], 2),
        ([_ended(How.CRASHED), {"event": "replanned"}, _ended(How.CRASHED)], 1),
    ],
)
def test_only_a_new_checkpoint_or_a_person_clears_the_record(events, without):
    assert faults(history_of(events)).without_progress == without


def test_hosts_are_blamed_by_name():
    events = [_ended(How.HUNG, "n2"), _ended(How.CRASHED, "n1"), _ended(How.LOST, "n2")]
    assert blamed(faults(history_of(events))) == {"n1": 1, "n2": 2}


def test_a_first_step_may_compile_and_a_known_one_may_not_be_silent():
    limits = HangLimits(step_floor_s=60)
    assert limits.limit_s("step") == 1800
    limits.note("step", 2.0, 10)
    assert limits.limit_s("step") == 60
    limits.note("step", 30.0)
    assert limits.limit_s("step") == 300
    assert limits.limit_s("first step") == 1800
    limits.note("load", 1000.0)
    assert limits.limit_s("load") == 10_000


def test_short_saves_do_not_make_a_long_one_a_hang():
    limits = HangLimits(step_floor_s=60, save_floor_s=3 * 900)
    limits.note("save", 0.1, 64)
    assert limits.limit_s("save") == 2700
    assert HangLimits(step_floor_s=60).limit_s("save") == 1800


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("04:00:00", 14_400),
        ("1-0", 86_400),
        ("1-2:03", 93_780),
        ("2-00:00:30", 172_830),
    ],
)
def test_slurm_times_are_read(time, seconds):
    assert limit_s(time) == seconds


def test_the_notice_is_two_minutes_at_least_and_never_most_of_the_run():
    assert notice_s(5, "04:00:00") == 150
    assert notice_s(600, "04:00:00") == 1290
    assert notice_s(5, "00:03:00") == 60


def record_of(facts):
    """What scontrol says in its own words."""
    return parse_record(" ".join(f"{key}={value}" for key, value in facts.items()))


@pytest.mark.parametrize(
    ("facts", "restart", "told"),
    [
        ({"JobState": "COMPLETING", "Restarts": "1"}, 0, StopReason.PREEMPTED),
        ({"JobState": "COMPLETING", "Restarts": "0"}, 0, StopReason.CANCELLED),
        ({"JobState": "COMPLETING", "Restarts": "0", "Reason": "None"}, 0, StopReason.CANCELLED),
        (
            {"JobState": "COMPLETING", "Restarts": "0", "Reason": "NonZeroExitCode"},
            0,
            StopReason.SCRIPT_ENDED,
        ),
        (
            {"JobState": "COMPLETING", "Restarts": "0", "Reason": "JobLaunchFailure"},
            0,
            StopReason.SCRIPT_ENDED,
        ),
        (
            {"JobState": "FAILED", "Restarts": "0", "Reason": "RaisedSignal:9(Killed)"},
            0,
            StopReason.SCRIPT_ENDED,
        ),
        ({"JobState": "RUNNING", "Restarts": "0", "Reason": "NonZeroExitCode"}, 0, StopReason.ASKED),
        ({"JobState": "CANCELLED", "Restarts": "2"}, 2, StopReason.CANCELLED),
        ({"JobState": "RUNNING", "Restarts": "1"}, 1, StopReason.ASKED),
        ({}, 0, StopReason.ASKED),
    ],
)
def test_why_slurm_ends_a_job_is_derived_from_its_restarts(facts, restart, told):
    assert why_ended(record_of(facts), restart) is told


@pytest.mark.parametrize(
    ("facts", "ends"),
    [
        ({"JobState": "RUNNING", "EndTime": "2026-01-01T02:00:00", "TimeLimit": "01:00:00"}, "2026-01-01T02:00:00"),
        (
            {"JobState": "COMPLETING", "StartTime": "2026-01-01T00:00:00", "EndTime": "2026-01-01T00:07:00",
             "TimeLimit": "1-01:00:00"},
            "2026-01-02T01:00:00",
        ),
        ({"JobState": "RUNNING", "EndTime": "Unknown", "TimeLimit": "UNLIMITED"}, None),
        ({"JobState": "CANCELLED", "StartTime": "2026-01-01T00:00:00", "TimeLimit": "UNLIMITED"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_end_of_a_job_s_time_is_what_slurm_says_now(facts, ends):
    record = record_of(facts)
    assert (record and record.ends) == (datetime.fromisoformat(ends).timestamp() if ends else None)


@pytest.mark.parametrize(
    ("facts", "own"),
    [
        ({"JobState": "RUNNING", "Restarts": "1"}, True),
        ({"JobState": "RUNNING", "Restarts": "2"}, False),
        ({"JobState": "PENDING", "Restarts": "1"}, False),
        ({"JobState": "COMPLETING", "Restarts": "1"}, False),
    ],
)
def test_a_node_that_outlives_its_batch_host_looks_at_its_own_start_of_the_job(facts, own):
    record = record_of(facts)
    assert record is not None and is_own(record, 1) is own


def test_a_job_is_orphaned_once_slurm_has_taken_its_batch_host_out():
    assert is_orphaned("n1", ["n2", "n3"])
    assert not is_orphaned("n1", ["n1", "n2"])
    assert not is_orphaned("n1", [])  # Slurm did not answer


def test_a_sigterm_takes_the_place_of_the_warning_before_the_time_limit():
    code = (
        "import os, signal; from launcher.supervise.children import StopSignal; stopped = StopSignal(); "
        "os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGTERM); "
        "os.kill(os.getpid(), signal.SIGUSR1); print(stopped.signal == signal.SIGTERM, stopped.again)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


def test_a_lease_that_another_takes_is_seen_without_asking(tmp_path):
    run = RunDir(tmp_path)
    first, second = Lease(run, who(job_id="1")), Lease(run, who(job_id="2"))
    first.take(lambda holder: True)
    first.watch(0.01)
    time.sleep(0.1)
    assert not first.lost
    second.take(lambda holder: False)
    deadline = time.monotonic() + 10
    while not first.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert first.lost
    second.watch(0.01)
    second.release()
    time.sleep(0.1)
    assert not second.lost  # given up is not taken


def test_a_lease_has_one_holder(tmp_path):
    run = RunDir(tmp_path)
    first, second = Lease(run, who(job_id="1")), Lease(run, who(job_id="2"))
    first.take(lambda holder: True)
    with pytest.raises(AlreadyRunning, match="being trained by job 1 on n1"):
        second.take(lambda holder: True)
    assert first.held() and not second.held()
    first.release()
    second.take(lambda holder: True)
    assert second.held()


def test_a_lease_of_a_job_that_is_gone_is_taken_and_its_holder_notices(tmp_path):
    run = RunDir(tmp_path)
    first, second = Lease(run, who(job_id="1")), Lease(run, who(job_id="2"))
    first.take(lambda holder: True)
    second.take(lambda holder: False)
    assert second.held() and not first.held()
    first.release()
    assert second.held()


def test_a_requeued_job_takes_its_own_lease(tmp_path):
    run = RunDir(tmp_path)
    Lease(run, who(job_id="1")).take(lambda holder: True)
    again = Lease(run, who(job_id="1", restart=1))
    again.take(lambda holder: True)
    assert again.held()


def test_a_lease_whose_holder_is_unknown_is_not_taken(tmp_path):
    run = RunDir(tmp_path)
    Lease(run, who(job_id="1")).take(lambda holder: True)
    with pytest.raises(AlreadyRunning, match=r"remove .*lease\.json"):
        Lease(run, who(job_id="2")).take(lambda holder: None, wait_s=0)


def test_of_many_that_take_at_once_one_holds_it(tmp_path):
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = RunDir(folder)
        leases = [Lease(run, who(job_id=str(job))) for job in range(6)]
        taken: list[Lease] = []

        def take(lease: Lease, taken: list[Lease] = taken) -> None:
            try:
                lease.take(lambda holder: True)
            except AlreadyRunning:
                return
            taken.append(lease)

        threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1 and taken[0].held()


def test_a_checkpoint_is_not_committed_under_another_lease(tmp_path):
    run = RunDir(tmp_path)
    lease = Lease(run, who(job_id="1"))
    lease.take(lambda holder: True)
    assert leased_to(run, lease.nonce) and not leased_to(run, "other")
    assert leased_to(run, None)  # a rank that a person started
    assert json.loads(run.lease.read_text())["job_id"] == "1"


def who(job_id: str, restart: int = 0) -> dict[str, object]:
    return {"job_id": job_id, "restart": restart, "host": "n1", "pid": 1, "started": 1}


def test_a_host_that_was_confirmed_to_be_slow_is_a_suspect_at_once_and_a_failing_one_after_two_faults():
    slow = {"event": "slow", "attempt": 1, "host": "n3", "relative": 0.4, "confirmed": True}
    lost = {"event": "ended", "attempt": 1, "how": "lost", "hosts": ["n2"]}
    assert suspects(faults(history_of([slow, lost]))) == ("n3",)
    assert set(suspects(faults(history_of([slow, lost, lost])))) == {"n2", "n3"}


def test_a_host_that_was_only_noted_as_slow_is_no_suspect():
    noted = {
        "event": "slow",
        "attempt": 1,
        "host": "n3",
        "relative": 0.4,
    }  # as versions before this rule wrote it
    assert suspects(faults(history_of([noted, {**noted, "attempt": 2, "confirmed": False}]))) == ()


def test_hosts_are_remembered_over_runs_for_a_day(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert recent_suspects() == {}
    note_faults(["n1", "n2"], "lost", "one")
    assert recent_suspects() == {}
    note_faults(["n1"], "hung", "two")
    note_faults(["n3"], "slow", "two")
    assert recent_suspects() == {"n1": 2, "n3": 2}
    old = record_path().read_text().replace('"time": ', '"time": -')
    record_path().write_text(old)
    assert recent_suspects() == {}
    record_path().unlink()
    record_path().mkdir()  # cannot be read or written: nothing is known, nothing breaks, and that is told
    note_faults(["n1"], "lost", "three")
    assert "other runs will not know the faults of n1" in "".join(capfd.readouterr())
    assert recent_suspects() == {}


@pytest.mark.parametrize(
    ("failed", "bad"),
    [
        ({}, {}),
        (
            {"n1": "timed out", "n2": "refused"},
            {"n2": "it does not reach n3 (refused), and n1 does not reach it"},
        ),
        ({"n2": "timed out"}, {"n3": "n2 does not reach n3 (timed out)"}),
        ({"n3": "timed out"}, {"n3": "n3 does not reach n1 (timed out)"}),
    ],
)
def test_the_ring_names_the_bad_host(failed, bad):
    assert blame_hosts(["n1", "n2", "n3"], failed) == bad


def test_of_two_hosts_that_do_not_reach_each_other_the_second_is_bad():
    assert list(blame_hosts(["n1", "n2"], {"n1": "timed out", "n2": "timed out"})) == ["n2"]
    assert list(blame_hosts(["n1", "n2"], {"n1": "timed out"})) == ["n2"]


def test_of_two_nodes_that_say_the_same_name_the_bad_one_is_known():
    names = name_nodes({0: "n1", 1: "node", 2: "node"})
    bad = blame_hosts(list(names.values()), {names[1]: "timed out", names[0]: "timed out"})
    assert list(bad) == [names[1]] == ["node (node 1)"]


def sent(address: str, port: int) -> str:
    ring = LinkCheck()
    ring.send(address, port)
    deadline = time.monotonic() + 20
    while ring.result is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return ring.result


def test_a_ring_message_arrives_whole_or_says_why_not():
    assert sent("127.0.0.1", LinkCheck().listen()) == ""
    deaf = LinkCheck().listen()
    assert sent("127.0.0.1", deaf) == ""
    assert "refused" in sent("127.0.0.1", deaf)  # it hears one message and is gone
