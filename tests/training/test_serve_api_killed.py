"""A server whose jobs train on its own machine, killed at each step of them: every job is trained once, and to its end."""

import json
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.api_client import Client
from tests.support.api_server import CHATS, ApiServer, wait_until

pytestmark = [pytest.mark.train, pytest.mark.long, pytest.mark.timeout(7200)]

KILLS = 100
SITE = """
models: {tiny: {extends: tiny, plugin: [], trainer: {packing: false}}}
run: {cluster: local}
"""
STEPS = ("check", "plan", "start", "watch")
"""Stages of a job. Every second kill comes soon after a job has entered one of them, each in turn, the others at any time."""
_WAIT_S = 10.0


def in_stage(server: ApiServer, stage: str) -> bool:
    """Whether a job is in that stage now."""
    database = sqlite3.connect(f"file:{server.data / 'api.sqlite3'}?mode=ro", uri=True, timeout=30)
    try:
        return bool(database.execute("SELECT 1 FROM jobs WHERE stage = ?", (stage,)).fetchone())
    finally:
        database.close()


def wait_for(server: ApiServer, stage: str) -> bool:
    """Whether a job enters the stage within some seconds."""
    deadline = time.monotonic() + _WAIT_S
    while not (found := in_stage(server, stage)) and time.monotonic() < deadline:
        time.sleep(0.002)
    return found


def test_jobs_of_this_machine_are_trained_once_although_the_server_is_killed(tmp_path: Path):
    (tmp_path / "site.yaml").write_text(SITE)
    server, dice = ApiServer(tmp_path, ("--site", str(tmp_path / "site.yaml"))), random.Random(5)
    key = server.add("anna", "--jobs", "100000")
    server.start()
    client = Client(server, key, random.Random(6), pause_s=40.0, deletes=0.0)
    client.thread.start()
    hit: Counter[str] = Counter()
    try:
        for kill in range(KILLS):
            step = STEPS[kill // 2 % len(STEPS)]
            if kill % 2 and wait_for(server, step):
                hit[step] += 1
                time.sleep(dice.random() * (0.02 if step == "start" else 0.5))
            else:
                hit["any time"] += 1
                time.sleep(dice.random() * 1.5)
            server.kill()
            server.start()
        client.over.set()
        client.thread.join(60)
        assert client.faults == [] and client.jobs
        asked = server.client(key)
        wait_until(lambda: all(one.finished_at for one in asked.fine_tuning.jobs.list(limit=100)), 3600)
        jobs = list(asked.fine_tuning.jobs.list(limit=100))
        ids = {one.id for one in jobs}
        # a job whose answer was lost at the end may be there as well, once
        assert set(client.jobs.values()) <= ids and len(jobs) == len(ids) <= len(client.jobs) + 1
        assert [one.error for one in jobs if one.status != "succeeded"] == []
        assert len({one.fine_tuned_model for one in jobs}) == len(jobs)
        for job in jobs:
            (run,) = (server.data / "runs" / job.id).iterdir()
            kinds = Counter(
                json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()
            )
            assert (kinds["submitted"], kinds["started"], kinds["finished"]) == (1, 1, 1)
            events = [event.message for event in asked.fine_tuning.jobs.list_events(job.id, limit=100)]
            assert len(events) == len(set(events)) and "The job has successfully completed" in events
            (results,) = job.result_files
            assert asked.files.content(results).content.startswith(b"step,train_loss")
        files = {one.id for one in asked.files.list()}
        assert client.files <= files
        for file in client.files:
            assert asked.files.content(file).content == CHATS
        print(
            f"{KILLS} kills ({', '.join(f'{step} {n}' for step, n in sorted(hit.items()))}), {len(jobs)} jobs"
        )
    finally:
        client.over.set()
        server.kill()
