"""The list keeps the statuses of runs that are over for good, and never shows one that is not true any more."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from launcher.run import RunDir
from launcher.run.events.launching import Submitted
from launcher.run.events.supervisor import Started
from tests.unit.commands.test_status import add_metrics, make_run

Cli = Callable[..., "CompletedProcess[str]"]
KEPT = Path("runs", ".settled.json")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A finished run."""
    run = make_run(tmp_path, "submitted", "started", "finished")
    add_metrics(run, {"step": 8, "total_steps": 8, "loss": 0.5})
    return run


def listed(cli: Cli) -> list[dict[str, Any]]:
    return json.loads(cli("list", "--json").stdout)


def test_a_run_that_is_over_is_listed_the_same_from_its_kept_status(run: RunDir, tmp_path: Path, cli: Cli):
    first, text = listed(cli), cli("list").stdout
    assert (tmp_path / KEPT).is_file()
    changed = (tmp_path / KEPT).read_text().replace('"loss": 0.5', '"loss": 0.25')
    (tmp_path / KEPT).write_text(changed)
    assert "0.2500" in cli("list").stdout  # the run dir was not read
    (tmp_path / KEPT).unlink()
    assert (listed(cli), cli("list").stdout) == (first, text)


def test_a_run_that_goes_on_is_read_again(run: RunDir, cli: Cli):
    assert listed(cli)[0]["state"] == "finished"
    run.note(Submitted(attempt=1, cluster="local", job_id="4194305"))
    assert listed(cli)[0]["state"] == "running"


def test_a_run_that_is_not_over_is_never_kept(tmp_path: Path, cli: Cli):
    run = make_run(tmp_path, "submitted", "started", "stopped")
    assert listed(cli)[0]["state"] == "failed"
    assert not (tmp_path / KEPT).exists()
    run.note(Started(attempt=2))
    assert listed(cli)[0]["attempts"] == 2


def test_a_removed_run_leaves_the_kept_statuses_too(run: RunDir, tmp_path: Path, cli: Cli):
    make_run(tmp_path, "submitted", "started", "finished", name="other/1")
    assert len(listed(cli)) == 2
    for file in sorted(run.path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert [one["run"] for one in listed(cli)] == ["other/1"]
    assert [*json.loads((tmp_path / KEPT).read_text())["runs"]] == ["other/1"]


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "null",
        "[]",
        "{",
        '{"of": 1}',
        '{"runs": []}',
        "[" * 5000,
        "status",
        "stamp",
        "loss",
        "state",
        "folder",
    ],
)
def test_odd_kept_statuses_are_made_again(run: RunDir, tmp_path: Path, cli: Cli, broken: str):
    truth, file = listed(cli), tmp_path / KEPT
    values: dict[str, Any] = json.loads(file.read_text())
    entry = values["runs"][run.name]
    if broken == "folder":
        file.unlink()
        file.mkdir()
    elif broken in ("status", "stamp"):
        entry[broken] = ["odd"]
    elif broken in ("loss", "state"):
        entry["status"][broken] = "odd"
    if not file.is_dir():
        file.write_text(json.dumps(values) if broken.isalpha() and broken != "null" else broken)
    assert listed(cli) == truth
    assert f"{run.name}" in cli("list").stdout
