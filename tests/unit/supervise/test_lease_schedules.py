"""The lease of a run dir while one gives it up and others take it, in many orders of their changes of the file system."""

from pathlib import Path
from typing import Any

import pytest

from launcher.errors import AlreadyRunning
from launcher.run import RunDir
from launcher.supervise.lease import Lease, read_holder
from tests.support.schedule import Killed, Schedule

SCHEDULES = 60


def lease_of(folder: Path, job: str) -> Lease:
    folder.mkdir(exist_ok=True)
    return Lease(RunDir(folder), {"job_id": job, "restart": 0, "host": f"n{job}", "pid": 1, "started": 1})


def half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("..")]


@pytest.mark.parametrize("kill", [None, "first", "second"])
def test_who_gives_a_lease_up_never_takes_it_from_another_job(tmp_path: Path, kill: str | None):
    """The first job's supervisor gives its lease up while the scheduler says already that the job is gone, and two later jobs
    want the run dir."""
    for seed in range(SCHEDULES):
        folder = tmp_path / str(seed)
        first, second, third = leases = [lease_of(folder, job) for job in "123"]
        first.take(lambda holder: True)
        schedule = Schedule(folder, seed)

        def lives(holder: dict[str, Any], schedule: Schedule = schedule) -> bool:
            return holder["job_id"] != "1" and not (holder["job_id"] == "2" and "second" in schedule.killed)

        def look(leases: list[Lease] = leases) -> None:
            assert sum(lease.held() for lease in leases) <= 1

        threads = {
            "first": first.release,
            "second": lambda second=second, lives=lives: second.take(lives),
            "third": lambda third=third, lives=lives: third.take(lives),
        }
        schedule.run(threads, look, kill)
        ended = {name: schedule.ended[name] for name in ("second", "third")}
        assert all(isinstance(one, AlreadyRunning | Killed | None) for one in ended.values()), (seed, ended)
        took = [lease for lease, one in zip((second, third), ended.values(), strict=True) if one is None]
        assert all(lease.held() for lease in took), seed
        assert len(took) == 1 or (kill == "second" and len(took) == 0), (seed, ended)
        if kill is None:
            assert half_written(folder) == []
            took[0].release()
            assert read_holder(took[0].run) is None


@pytest.mark.parametrize("kill", [None, "first"])
def test_who_gives_a_lease_up_never_takes_it_from_a_successor_of_the_same_job(
    tmp_path: Path, kill: str | None
):
    """Two agents take the supervisor for lost in the moment in which it ends; a later job comes as well."""
    for seed in range(SCHEDULES):
        folder = tmp_path / str(seed)
        first, second, third = leases = [lease_of(folder, "1") for _ in range(3)]
        first.take(lambda holder: True)
        schedule = Schedule(folder, seed)

        def look(leases: list[Lease] = leases) -> None:
            assert sum(lease.held() for lease in leases) <= 1

        threads = {
            "first": first.release,
            "second": lambda second=second, first=first: second.succeed(first.first, 2),
            "third": lambda third=third, first=first: third.succeed(first.first, 2),
        }
        schedule.run(threads, look, kill)
        won = [
            lease for lease, name in ((second, "second"), (third, "third")) if schedule.ended[name] is True
        ]
        assert {schedule.ended["second"], schedule.ended["third"]} <= {True, False}, (seed, schedule.ended)
        assert len(won) <= 1 and all(lease.held() for lease in won), seed
        if kill is None:
            assert (read_holder(first.run) is None) == (won == []), seed


def test_a_later_job_that_stood_still_while_it_took_a_lease_does_not_take_it_from_the_next_one(
    tmp_path: Path,
):
    first, second, third = (lease_of(tmp_path, job) for job in "123")
    first.take(lambda holder: True)
    second.take(lambda holder: False)
    stood_still = second.run.lease.read_text()  # as if only the claim were there until now
    third.take(lambda holder: False)
    second.run.lease.write_text(stood_still)
    assert [lease.held() for lease in (first, second, third)] == [False, False, True]
    third.release()
    second.run.lease.write_text(stood_still)
    assert not second.held() and read_holder(second.run) is None


def test_claims_that_lead_in_a_circle_are_refused_with_a_way_out(tmp_path: Path):
    first, second = (lease_of(tmp_path, job) for job in "12")
    first.take(lambda holder: True)
    second.take(lambda holder: False)
    second.run.claim(f"{second.first}.2").write_bytes(
        second.run.claim(f"{first.first}.2").read_bytes().replace(second.first.encode(), first.first.encode())
    )
    with pytest.raises(AlreadyRunning, match=r"lead in a circle.*remove .*lease\.json"):
        lease_of(tmp_path, "3").take(lambda holder: True)
