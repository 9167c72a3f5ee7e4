"""Weights & Biases: one id over attempts, no waiting for a host that does not exist, and files that are sent later."""

import json
import os
import re
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.trackers.host import answers
from launcher.trackers.registry import TRACKERS
from launcher.trackers.wandb import why_offline
from tests.support import preloaded
from tests.support.runs import Finished, environment
from tests.support.wandb_server import NAMED, silent_server, wandb_server
from tests.support.warm import Warm
from tests.training.resuming import METHODS, planned

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def killed_once(cache, tmp_path_factory):
    """A run of two attempts, with a key and a host that accepts connections and never answers."""
    folder = tmp_path_factory.mktemp("wandb")
    with silent_server() as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB_BASE_URL", host)
        warm = Warm()
        run = planned(folder, cache, *METHODS["lora"], "tracker=wandb", "trainer.max_steps=12")
        assert warm.run(run.path, kill_after_saves=1)["codes"] == [-9]
        assert warm.run(run.path)["codes"] == [0], run.logs()
        warm.close()
    run_dir = RunDir(run.path)
    run_dir.add_event("finished", attempt=2)
    return run


@pytest.mark.train
def test_two_attempts_with_a_kill_between_have_one_id(killed_once):
    files = sorted(killed_once.path.glob("wandb/offline-run-*/*.wandb"))
    ids = {event["id"] for event in killed_once.events("tracking")}
    assert len(files) == 2
    assert {file.name.removeprefix("run-").removesuffix(".wandb") for file in files} == ids


@pytest.mark.train
def test_a_host_that_never_answers_costs_seconds_and_the_run_is_tracked_offline(killed_once):
    for event in killed_once.events("tracking"):
        assert event["mode"] == "offline" and "did not answer" in event["why"]
    waited = [_seconds(event) for event in killed_once.events() if event["event"] in ("started", "tracking")]
    assert waited[1] - waited[0] < 30  # a loaded machine's start included; wandb alone waits 90 s
    assert [line["step"] for line in killed_once.metrics()][-1] == 12


@pytest.mark.train
def test_sync_without_a_network_refuses_in_one_line_and_then_sends_all_attempts_under_the_id(killed_once):
    with silent_server() as host:
        refused = _sync(killed_once, WANDB_API_KEY=KEY, WANDB_BASE_URL=host)
    assert refused.returncode == 1
    assert re.fullmatch(r"launcher: 127\.0\.0\.1 did not answer within 3 s, [^\n]*\n", refused.stderr)
    without = _sync(killed_once, WANDB_API_KEY="", NETRC="/nowhere")
    assert re.fullmatch(r"launcher: there is no WANDB_API_KEY, [^\n]*\n", without.stderr)
    files = killed_once.path.glob("wandb/offline-run-*/*.wandb")
    kept = sum(file.stat().st_size > 7 for file in files)  # a killed attempt may hold wandb's header alone
    with wandb_server() as (host, asked):
        done = _sync(killed_once, WANDB_API_KEY=KEY, WANDB_BASE_URL=host)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["runs"] == [
            {"run": RunDir(killed_once.path).name, "attempts": kept, "error": None}
        ]
        again = _sync(killed_once, WANDB_API_KEY=KEY, WANDB_BASE_URL=host)
    assert json.loads(again.stdout) == {"runs": []}
    names = {variables["name"] for variables in asked.variables("UpsertBucket") if variables.get("name")}
    assert names == {killed_once.events("tracking")[0]["id"], NAMED}
    assert any(path.endswith("/file_stream") for path, _, _ in asked)
    written = [
        path for path in killed_once.path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    assert written == []


def test_the_probe_is_over_in_seconds_whatever_the_host_does():
    with silent_server() as host:
        begun = time.monotonic()
        assert not answers(host, timeout_s=0.5)
    assert not answers("http://127.0.0.1:9", timeout_s=0.5)
    assert not answers("http://no-such-host.invalid", timeout_s=0.5)
    with wandb_server() as (host, _):
        assert answers(f"{host}/nothing/here")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("given", "alive", "why"),
    [
        ({}, True, "no WANDB_API_KEY"),
        ({"WANDB_API_KEY": KEY}, False, "did not answer"),
        ({"WANDB_API_KEY": KEY}, True, None),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, True, "WANDB_MODE is offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "online"}, False, "did not answer"),
    ],
)
def test_offline_by_itself_where_there_is_no_key_or_no_host(given, alive, why):
    found = why_offline({"NETRC": "/nowhere", **given}, lambda _: alive)
    assert found is None if why is None else why in found


def _sync(run: Finished, **more: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(("sync", str(run.path), "--json"), Path.cwd(), environment(**more), timeout_s=120)


def _seconds(event: dict) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


@pytest.mark.train
def test_trials_of_a_sweep_have_one_group_and_each_an_id_that_a_requeue_keeps(
    compose, plan, tmp_path, monkeypatch
):
    from launcher.train.tracking import RankTracking

    monkeypatch.setattr(os, "environ", {**os.environ, "WANDB_MODE": "offline"})
    sweep, typed = tmp_path / "tiny" / "sweep_2026-01-01_00-00-00", ("+experiment=tiny", "tracker=wandb")
    for trial, attempt in (("0", 1), ("0", 2), ("1", 1)):
        run = RunDir(sweep / trial)
        run.path.mkdir(parents=True, exist_ok=True)
        RankTracking(run, compose(*typed), plan(*typed, run_dir=str(run.path)), attempt, is_main=True)
        TRACKERS.find("wandb").finish()
    told = [event for trial in ("0", "1") for event in Finished(sweep / trial).events("tracking")]
    assert {event["group"] for event in told} == {sweep.name}
    assert told[0]["id"] == told[1]["id"] != told[2]["id"]
    assert os.environ["WANDB_RUN_GROUP"] == sweep.name
