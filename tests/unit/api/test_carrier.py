"""Which job takes its next step: jobs whose steps fail do not stand in the way of others."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.api.calls import CallFailed
from launcher.api.carrier import Carrier
from launcher.api.checking import check_file
from launcher.api.data_dir import DataDir, new_id
from launcher.api.files import StoredFiles
from launcher.api.offers import OfferedModel, Offers
from launcher.api.steps import Steps
from launcher.api.store import Store
from launcher.api.tenants import Quota, add_tenant
from launcher.errors import ClusterError, RunError
from launcher.run import RunDir
from launcher.run.events.supervisor import Finished, Started, Stopped
from tests.support.api_server import wait_until
from tests.support.fake_slurm import scripts_of, write_programs
from tests.support.runs import launch

_AUTO = json.dumps({"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"})


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path / "D")
    made.make()
    return made


@pytest.fixture
def store(data_dir: DataDir) -> Store:
    store = Store(data_dir.folder)
    add_tenant(store, "anna", Quota())
    return store


@pytest.fixture
def carrier(store: Store, data_dir: DataDir, tmp_path: Path) -> Iterator[Carrier]:
    offer = OfferedModel(settings=tmp_path / "none.yaml", learning_rate=1e-3, ranks=1, queued=False)
    offers = Offers(models={"tiny": {"supervised": offer}}, at_once=8, queued=False, config_dir=None)
    files = StoredFiles(store, data_dir)
    made = Carrier(
        store, data_dir, Steps(store, data_dir, offers), files, at_once=8, queued=False, again_s=1.0
    )
    yield made
    made.close()


def add_job(store: Store, stage: str, *, model: str = "tiny", sha256: str = "none") -> str:
    """A job without a folder, so that a step which reads its files fails."""
    job_id = new_id("ftjob")
    with store.change() as db:
        db.execute(
            "INSERT INTO jobs (id, tenant, created_at, request, model, method, hyperparameters, rows, training_file, "
            "training_sha256, seed, status, stage) "
            "VALUES (?, 'anna', 0, '{}', ?, 'supervised', ?, 10, 'file-1', ?, 1, 'queued', ?)",
            (job_id, model, _AUTO, sha256, stage),
        )
    return job_id


def status_of(store: Store, job_id: str) -> str:
    return store.value("SELECT status FROM jobs WHERE id = ?", job_id)


def test_jobs_whose_plan_fails_for_now_do_not_stop_a_later_job(store, data_dir, carrier):
    broken = [add_job(store, "plan") for _ in range(2)]
    later = add_job(store, "plan", model="no_longer_offered")
    carrier.start()
    wait_until(lambda: status_of(store, later) == "failed", 10)
    assert [status_of(store, job) for job in broken] == ["queued", "queued"]


def test_jobs_whose_check_fails_for_now_do_not_stop_a_later_job(store, data_dir, carrier):
    for _ in range(5):
        add_job(store, "check")
    with store.change() as db:
        db.execute("INSERT INTO checks VALUES ('known', 'supervised', 3, NULL)")
    later = add_job(store, "check", sha256="known")
    carrier.start()
    wait_until(lambda: status_of(store, later) == "failed", 10)
    assert "3 rows" in store.value("SELECT error FROM jobs WHERE id = ?", later)


def test_a_check_whose_file_is_gone_says_nothing_about_the_content(store, data_dir):
    with pytest.raises(CallFailed, match="data check"):
        check_file(store, data_dir.work / "train.jsonl", "content", "supervised", least=10)
    assert store.rows("SELECT * FROM checks") == []


def test_a_database_that_is_none_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "api.sqlite3").write_bytes(b"not a database, but longer than the header of one" * 20)
    with pytest.raises(RunError, match="cannot be used as the database of serve-api: file is not a database"):
        Store(tmp_path)


def test_a_folder_has_one_server(data_dir):
    with data_dir.lock(), pytest.raises(ClusterError, match="in use by another server"):
        data_dir.lock()


def test_a_job_whose_end_cannot_be_stored_does_not_stop_the_look_at_others(
    store, data_dir, carrier, tmp_path
):
    planned = launch(tmp_path, tmp_path / "cache", "dry_run=true").path
    ends = {"finished": Finished(attempt=1), "stopped": Stopped(attempt=1, exit_code=1, reason="it failed")}
    jobs: dict[str, str] = {}
    for name, event in ends.items():
        job_id = jobs[name] = add_job(store, "watch")
        run = RunDir(data_dir.runs_of(job_id) / "once")
        shutil.copytree(planned, run.path)
        run.note(Started(attempt=1, job_id="", host="here"))
        run.note(event)
        with store.change() as db:
            db.execute("UPDATE jobs SET run = 'once' WHERE id = ?", (job_id,))
    (data_dir.folder / "files").rmdir()  # so that the results of the finished job cannot be stored
    carrier.start()
    wait_until(lambda: status_of(store, jobs["stopped"]) == "failed", 10)
    assert status_of(store, jobs["finished"]) == "queued"
    (data_dir.folder / "files").mkdir()
    wait_until(lambda: status_of(store, jobs["finished"]) == "succeeded", 10)


def events_of(store: Store, job_id: str) -> list[str]:
    return [
        row["message"]
        for row in store.rows("SELECT message FROM events WHERE job = ? ORDER BY number", job_id)
    ]


@pytest.fixture
def queued(store: Store, data_dir: DataDir, tmp_path: Path) -> str:
    """A job whose run is planned for a cluster with a queue."""
    job_id = add_job(store, "start")
    planned = launch(tmp_path, tmp_path / "cache", "dry_run=true", "cluster=slurm").path
    shutil.copytree(planned, data_dir.runs_of(job_id) / "once")
    with store.change() as db:
        db.execute("UPDATE jobs SET run = 'once' WHERE id = ?", (job_id,))
    return job_id


def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.parametrize("stage", ["start", "stopped"])
def test_a_fault_of_the_cluster_is_tried_again_less_often_and_told_in_the_events(
    store, data_dir, carrier, tmp_path, queued, stage, monkeypatch
):
    no_programs(monkeypatch)
    with store.change() as db:
        db.execute("UPDATE jobs SET stage = ? WHERE id = ?", (stage, queued))
    why = "cluster=slurm, but sbatch is not on PATH"
    if stage == "stopped":
        # it was queued once, and is resumed: without squeue, nobody can say whether it still waits
        RunDir(data_dir.runs_of(queued) / "once").note_job("slurm", "1")
        why = "the part before the pause is pending"
    carrier.start()
    said = f"The cluster cannot take the job now; it is tried again in {{}} s: {why}"
    wait_until(lambda: len(events_of(store, queued)) == 2, 30)
    assert status_of(store, queued) == "queued"
    for event, seconds in zip(events_of(store, queued), (1, 2), strict=True):
        assert event.startswith(said.format(seconds))
    programs = write_programs(tmp_path / "slurm")
    (tmp_path / "slurm/queue/000001.job").write_text("/elsewhere/job.sbatch")
    (tmp_path / "slurm/queue/000001.cancelled").touch()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    wait_until(lambda: len(scripts_of(tmp_path / "slurm")) == 2, 30)
    wait_until(lambda: "The job goes on" in events_of(store, queued), 10)


def test_a_controller_that_cannot_be_reached_does_not_end_a_job_and_another_refusal_does(
    store, carrier, tmp_path, queued, monkeypatch
):
    programs = write_programs(tmp_path / "slurm")
    saying = "#!/bin/sh\necho 'sbatch: error: Batch job submission failed: {}' >&2\nexit 1\n"
    sbatch = programs / "sbatch"
    sbatch.write_text(saying.format("Unable to contact slurm controller (connect failure)"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    carrier.start()
    wait_until(
        lambda: any("Unable to contact slurm controller" in one for one in events_of(store, queued)), 30
    )
    assert status_of(store, queued) == "queued"
    sbatch.write_text(saying.format("Invalid account or account/partition combination specified"))
    wait_until(lambda: status_of(store, queued) == "failed", 30)
    assert "Invalid account" in events_of(store, queued)[-1]


def test_a_job_cancelled_while_the_cluster_cannot_take_it_is_over_at_once(
    store, carrier, queued, monkeypatch
):
    no_programs(monkeypatch)
    carrier.start()
    wait_until(lambda: events_of(store, queued), 30)
    with store.change() as db:
        db.execute("UPDATE jobs SET wish = 'cancel', status = 'cancelled' WHERE id = ?", (queued,))
    wait_until(lambda: store.value("SELECT stage FROM jobs WHERE id = ?", queued) == "over", 30)
    assert status_of(store, queued) == "cancelled"


def test_the_run_of_a_job_cancelled_while_it_was_planned_is_a_leftover(store, data_dir):
    job_id, other = add_job(store, "over"), add_job(store, "plan")
    for job in (job_id, other):
        (data_dir.runs_of(job) / "once").mkdir(parents=True)
    data_dir.remove_leftovers(store)
    assert not data_dir.runs_of(job_id).exists() and data_dir.runs_of(other).exists()
