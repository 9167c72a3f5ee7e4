"""A thousand jobs of twenty clients: every one is accepted once, listed once and reaches the queue, and tenants take turns."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.api_server import CHATS, queueing, wait_until
from tests.support.fake_slurm import scripts_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

CLIENTS, EACH, AT_ONCE = 20, 50, 40


def test_a_thousand_jobs_of_twenty_clients_are_queued_in_turn(tmp_path: Path):
    with queueing(tmp_path, "--at-once", "1") as server:
        keys = [server.add(f"client{number}") for number in range(CLIENTS)]
        server.start()
        made: dict[str, list[str]] = {}
        slowest: list[float] = []

        def create(key: str) -> None:
            client = server.client(key, max_retries=5)
            file = client.files.create(file=("a.jsonl", CHATS), purpose="fine-tune").id
            made[key] = []
            for _ in range(EACH):
                begun = time.monotonic()
                made[key].append(client.fine_tuning.jobs.create(model="tiny", training_file=file).id)
                slowest.append(time.monotonic() - begun)

        begun = time.monotonic()
        threads = [threading.Thread(target=create, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted_s = time.monotonic() - begun
        assert sum(map(len, made.values())) == CLIENTS * EACH
        for key in keys:
            listed = [one.id for one in server.client(key).fine_tuning.jobs.list(limit=100)]
            assert sorted(listed) == sorted(made[key])
        waiting = 'launcher_api_jobs{status="queued"} 1000'
        wait_until(lambda: waiting in server.open("/metrics").text, 1800)
        checked_s = time.monotonic() - begun
        server.kill()
        server.words = (*server.words[:-1], str(AT_ONCE))
        server.start()
        wait_until(lambda: len(scripts_of(tmp_path / "slurm")) == AT_ONCE, 600)
        time.sleep(5)
        jobs = [Path(script).parent.parent.name for script in scripts_of(tmp_path / "slurm")]
        assert len(jobs) == len(set(jobs)) == AT_ONCE  # no more than at_once, none twice
        owner = {job: key for key, ids in made.items() for job in ids}
        assert set(Counter(owner[job] for job in jobs).values()) == {AT_ONCE // CLIENTS}
        slowest.sort()
        print(
            f"accepted in {accepted_s:.1f} s, median {slowest[500] * 1000:.0f} ms, slowest {slowest[-1] * 1000:.0f} ms; "
            f"checked after {checked_s:.0f} s"
        )
