"""A tracker in a package of somebody else's: one module, an entry point, and no line of this project changed."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.extending.foreign import install
from tests.support import preloaded
from tests.support.runs import Finished, environment

TRACKER = """
import json
from pathlib import Path

from launcher.packages import Package
from launcher.trackers.base import Tracker, TrackingStart


class Diary(Tracker):
    says = "a file in the run dir"
    packages = (Package(module="my_diary", name="my-diary", install="pip install my-diary"),)

    def open(self, run, environ):
        return Log(run)

    def unsent(self, folder):
        file = Path(folder, "diary.jsonl")
        return [file] if file.is_file() and not file.with_suffix(".sent").exists() else []

    def why_unsendable(self, environ):
        return None if environ.get("DIARY") else "there is no DIARY; name a file"

    def send(self, folder, files, environ):
        Path(environ["DIARY"]).write_text(files[0].read_text())
        files[0].with_suffix(".sent").touch()


class Log:
    def __init__(self, run):
        self.started = TrackingStart(mode="file", id=run.id)
        self.file = Path(run.folder, "diary.jsonl")

    def write(self, step, values, time_s):
        if step == 2 and "loss" in values:
            raise OSError("the pen is broken")
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\\n")

    def finish(self):
        with self.file.open("a") as file:
            file.write("the end\\n")


SPEC = Diary()
"""
RUN = (
    "+experiment=tiny",
    "cluster=local",
    "tracker.kind=diary",
    "data.eval_path=null",
    "trainer.max_steps=3",
)


@pytest.fixture(scope="module")
def go(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("tracker")
    site = install(
        folder / "site", "my-diary", {"my_diary": TRACKER}, {"launcher.trackers": {"diary": "my_diary"}}
    )

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return preloaded.run(arguments, folder, environment(PYTHONPATH=str(site), **more), timeout_s=300)

    return run


@pytest.mark.train
def test_a_tracker_of_another_package_is_planned_run_and_reported(go, cache, tmp_path):
    assert go("plan", *RUN).returncode == 0
    dry = go(*RUN, "dry_run=true", "--json")
    assert dry.returncode == 0, dry.stderr
    done = go(*RUN, "trainer.logging_steps=1", f"cache_dir={cache}", "--json")
    assert done.returncode == 0, done.stderr
    run = Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
    lines = (run.path / "diary.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines[:-1]]
    assert {line["step"]: line["loss"] for line in logged if "loss" in line} == {
        line["step"]: pytest.approx(line["loss"])
        for line in run.metrics()
        if "loss" in line and line["step"] != 2
    }
    assert lines[-1] == "the end"
    begun, lost = run.events("tracking")
    assert (begun["tracker"], begun["mode"], begun.get("why")) == ("diary", "file", None)
    assert lost["mode"] == "failed" and "OSError: the pen is broken" in lost["why"]
    assert json.loads(go("status", str(run.path), "--json").stdout)["state"] == "finished"
    assert go("report", str(run.path)).returncode == 0
    assert "there is no DIARY, so 1 run cannot be sent" in go("sync", str(run.path)).stderr
    sent = tmp_path / "sent.jsonl"
    assert json.loads(go("sync", str(run.path), "--json", DIARY=str(sent)).stdout)["runs"][0]["error"] is None
    assert sent.read_text().splitlines() == lines
    assert json.loads(go("sync", str(run.path), "--json", DIARY=str(sent)).stdout) == {"runs": []}


def test_an_unknown_tracker_is_refused_with_the_foreign_one_among_the_known(go):
    done = go(*RUN, "tracker.kind=dairy", "dry_run=true")
    assert done.returncode == 1 and "did you mean diary?" in done.stderr
