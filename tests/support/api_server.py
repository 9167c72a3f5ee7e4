"""A server of the fine-tuning API in a process of its own, and its keys."""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai

from tests.support.fake_slurm import write_programs
from tests.support.runs import command, environment
from tests.support.shapes import check_printed

CHATS = "".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"What is {number} and one?"},
                {"role": "assistant", "content": f"It is {number + 1}."},
            ]
        }
    )
    + "\n"
    for number in range(12)
).encode()
PAIRS = "".join(
    json.dumps(
        {
            "input": {"messages": [{"role": "user", "content": f"What is {number} and one?"}]},
            "preferred_output": [{"role": "assistant", "content": f"It is {number + 1}."}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        }
    )
    + "\n"
    for number in range(12)
).encode()


@dataclass
class ApiServer:
    """The folder of a server, and the process that serves it now."""

    folder: Path
    """Its parent folder; the data are in D."""
    words: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    address: str = ""
    process: "subprocess.Popen[str] | None" = None

    @property
    def data(self) -> Path:
        return self.folder / "D"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def add(self, name: str, *words: str) -> str:
        """The key of a new tenant."""
        return self.verb("api-keys", "add", name, *words)["key"]

    def verb(self, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            command(*words, "--data-dir", str(self.data), "--json"),
            cwd=self.folder, env=environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def start(self) -> dict[str, Any]:
        """What the server says once it accepts requests. It keeps its port, so that clients find it again."""
        port = self.address.rpartition(":")[2].partition("/")[0] or "0"
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command("serve-api", "--data-dir", str(self.data), "--port", port, "--json", *self.words),
                cwd=self.folder, env=environment(**self.environ), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log
        check_printed(["serve-api", "--json"], line)
        told = json.loads(line)
        self.address = told["address"]
        return told

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(120)

    def client(self, key: str, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.address, api_key=key, **{"max_retries": 0, "timeout": 60, **more})

    def ask(self, key: str, method: str, path: str, **more: Any) -> httpx.Response:
        """A request that no library would send."""
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return httpx.request(method, f"{self.address}{path}", headers=headers, timeout=60, **more)

    def open(self, path: str) -> httpx.Response:
        """A request to a route that needs no key."""
        return httpx.get(f"{self.address.removesuffix('/v1')}{path}", timeout=60)


@contextlib.contextmanager
def queueing(folder: Path, *words: str) -> Iterator[ApiServer]:
    """A server whose cluster is a queue in which nothing runs."""
    programs = write_programs(folder / "slurm")
    site = folder / "site.yaml"
    site.write_text(
        "models: {tiny: {extends: tiny, trainer: {packing: false}}}\nrun: {cluster: slurm, resources: {device: cpu}}\n"
    )
    server = ApiServer(folder, ("--site", str(site), *words), {"PATH": f"{programs}:/usr/bin:/bin"})
    try:
        yield server
    finally:
        if server.process:
            server.kill()


def wait_until(true: Callable[[], Any], timeout_s: float = 60) -> Any:
    """The first value of `true` that counts as true."""
    deadline = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)
    return found
