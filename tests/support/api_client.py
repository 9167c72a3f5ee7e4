"""A client of the API that repeats what a killed server has not answered."""

import random
import threading
import time

import httpx

from tests.support.api_server import CHATS, ApiServer


class Client:
    """A client that goes on whenever the server is there, and remembers what it was told."""

    def __init__(
        self, server: ApiServer, key: str, dice: random.Random, pause_s: float = 0.2, deletes: float = 0.3
    ) -> None:
        """`pause_s`: longest time between two of its jobs. `deletes`: the share of its files that it deletes again."""
        self.server, self.key, self.dice, self.pause_s, self.deletes = server, key, dice, pause_s, deletes
        self.files: set[str] = set()
        self.deleted: set[str] = set()
        self.jobs: dict[str, str] = {}
        """Idempotency-Key -> the job of it."""
        self.asked = 0
        self.faults: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.act()
            except httpx.HTTPError:
                time.sleep(0.05)
            except AssertionError as error:
                self.faults.append(str(error))

    def act(self) -> None:
        made = self.server.ask(
            self.key, "POST", "/files", files={"file": ("a.jsonl", CHATS)}, data={"purpose": "fine-tune"}
        )
        assert made.status_code == 200, made.text
        file = made.json()["id"]
        self.files.add(file)
        self.asked += 1
        key = f"key-{self.asked}"
        self.create(key, file)
        if self.dice.random() < self.deletes:
            self.files.discard(file)  # it may be deleted although the answer is lost
            gone = self.server.ask(self.key, "DELETE", f"/files/{file}")
            assert gone.status_code == 200, gone.text
            self.deleted.add(file)
        self.over.wait(self.dice.random() * self.pause_s)

    def create(self, key: str, file: str) -> None:
        """As a client that repeats a request whose answer was lost."""
        body = {"model": "tiny", "training_file": file, "seed": 1}
        while not self.over.is_set():
            try:
                answer = self.server.ask(
                    self.key, "POST", "/fine_tuning/jobs", json=body, headers={"Idempotency-Key": key}
                )
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            assert answer.status_code == 200, answer.text
            self.jobs[key] = answer.json()["id"]
            return
