"""A server that is killed at any point and started again: what was answered is there, once, and every job is queued once."""

import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.api_client import Client
from tests.support.api_server import CHATS, ApiServer, queueing, wait_until
from tests.support.fake_slurm import scripts_of
from tests.support.runs import command, environment


def kill_and_start(server: ApiServer, dice: random.Random, kills: int) -> None:
    for _ in range(kills):
        time.sleep(dice.random() * 1.5)
        server.kill()
        server.start()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.long)])
def test_a_server_killed_at_random_points_loses_nothing_and_doubles_nothing(tmp_path: Path, kills: int):
    dice = random.Random(3)
    with queueing(tmp_path, "--at-once", "100000") as server:
        keys = [server.add(name, "--jobs", "100000") for name in ("anna", "bert")]
        server.start()
        clients = [Client(server, key, random.Random(at)) for at, key in enumerate(keys)]
        for client in clients:
            client.thread.start()
        kill_and_start(server, dice, kills)
        wait_until(
            lambda: sum(len(client.jobs) for client in clients) >= kills, 120
        )  # a loaded machine is slow
        for client in clients:
            client.over.set()
        for client in clients:
            client.thread.join(60)
        created = {job for client in clients for job in client.jobs.values()}
        assert [fault for client in clients for fault in client.faults] == [] and len(created) >= kills
        wait_until(lambda: len(queued(tmp_path)) >= len(created), 60 + 3 * len(created))
        for client, key in zip(clients, keys, strict=True):
            listed = server.client(key)
            jobs = [one.id for one in listed.fine_tuning.jobs.list(limit=100)]
            # a job whose answer was lost at the end may be there as well, once
            assert len(jobs) == len(set(jobs)) and set(client.jobs.values()) <= set(jobs)
            assert len(jobs) <= len(client.jobs) + 1
            files = {one.id for one in listed.files.list()}
            assert client.files <= files and not client.deleted & files
            for file in client.files:
                assert listed.files.content(file).content == CHATS
        assert set(queued(tmp_path)) >= created
        assert set(queued(tmp_path).values()) == {1}  # sbatch has accepted each once
        stored = {path.name for path in (server.data / "files").iterdir()}
        known = {one.id for key in keys for one in server.client(key).files.list()}
        server.kill()
        server.start()
        assert {path.name for path in (server.data / "files").iterdir()} == known <= stored
        print(f"{kills} kills, {len(created)} jobs")


def queued(folder: Path) -> Counter[str]:
    """Job of the API -> how often a run of it was accepted by sbatch."""
    return Counter(Path(script).parent.parent.name for script in scripts_of(folder / "slurm"))


def test_only_one_server_has_a_folder(tmp_path: Path):
    with queueing(tmp_path) as server:
        server.start()
        other = subprocess.run(
            command("serve-api", "--data-dir", str(server.data), "--port", "0"),
            env=environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert other.returncode == 1 and "in use by another server" in other.stderr
