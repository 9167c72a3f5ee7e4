"""What is asked of a hub before a launch, and who gets to see the token."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import ConfigError
from launcher.launching.hub_gate import check_hub
from tests.support.tiny_model import EMPTY_WEIGHTS

TOKEN = "hf_neverwrittendown"


@contextmanager
def redirecting(to: str) -> Iterator[tuple[int, list[str | None]]]:
    """A port that sends every path but /there elsewhere, and the Authorization of its HEAD requests."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers["Authorization"]
            if (
                self.command == "HEAD" or token
            ):  # once a day the library asks for something else, without a token
                seen.append(token)
            self.send_response(200 if self.path == "/there" else 302)
            self.send_header("Location", to)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()


@pytest.fixture
def gate(compose, plan, tmp_path, monkeypatch, capfd) -> Callable[[str, str], str]:
    """What a launch of a model from the hub at that address, with that token, prints before it submits."""

    def gate(endpoint: str, token: str) -> str:
        for name, value in {"HF_HOME": str(tmp_path), "HF_ENDPOINT": endpoint, "HF_TOKEN": token}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        overrides = ("+experiment=llama8b_lora", "model.name_or_path=me/model", "model.revision=null")
        check_hub(compose(*overrides), plan(*overrides))
        captured = capfd.readouterr()
        return captured.out + captured.err

    return gate


@pytest.mark.parametrize("ends", ["", "\n", "\r\n", " \r"])
def test_the_token_goes_to_the_hub_without_its_line_end_and_not_along_a_redirect(gate, ends: str):
    with (
        redirecting("/there") as (files, elsewhere),
        redirecting(f"http://localhost:{files}/there") as (hub, seen),
    ):
        assert gate(f"http://127.0.0.1:{hub}", TOKEN + ends) == ""
    assert seen == [f"Bearer {TOKEN}"]
    assert all(
        token is None for token in elsewhere
    )  # the library leaves the redirect, or follows it without the token


def test_the_token_stays_with_a_redirect_within_the_hub(gate):
    with redirecting("/there") as (hub, seen):
        assert gate(f"http://127.0.0.1:{hub}", TOKEN) == ""
    assert seen == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    ("endpoint", "token"),
    [("http://127.0.0.1:9", f"{TOKEN}\u2026"), ("hub.example", TOKEN), ("http://127.0.0.1:9", TOKEN)],
)
def test_a_hub_that_cannot_be_asked_is_one_line_without_the_token(gate, endpoint: str, token: str):
    said = gate(endpoint, token)
    assert "model.name_or_path=me/model is not in the cache" in said and "does not answer here (" in said
    assert said.count("\n") == 1 and TOKEN not in said


OF_HUB = (
    "+experiment=llama8b_lora",
    "model.name_or_path=me/model",
    "data.path=hub:me/rows",
    "data.eval_path=null",
)


@pytest.fixture
def without_library(tmp_path: Path) -> str:
    """A folder for PYTHONPATH in which the import of the hub's library fails."""
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "huggingface_hub.py").write_text("raise ImportError")
    return str(tmp_path / "absent")


def test_without_the_hub_s_library_a_warning_says_that_nothing_was_asked(cli, without_library):
    done = cli(
        *OF_HUB,
        "cluster=slurm",
        sbatch="echo 7",
        PYTHONPATH=without_library,
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    assert done.returncode == 0, done.stderr
    assert (
        "this Python has no huggingface_hub to ask the hub with (pip install huggingface_hub)" in done.stderr
    )


def test_a_name_that_no_repository_can_have_is_refused(cli):
    done = cli("+experiment=llama8b_lora", "model.name_or_path=me/my/model", "cluster=slurm", sbatch="echo 1")
    assert done.returncode == 1
    assert (
        "model.name_or_path=me/my/model is neither a folder here nor an id that a model on a hub can have"
        in done.stderr
    )


def test_a_hub_that_no_name_server_knows_is_reported_without_the_hubs_library(cli, without_library):
    hub = {"HF_ENDPOINT": "http://nowhere.invalid", "PYTHONPATH": without_library}
    done = cli(*OF_HUB, "cluster=slurm", sbatch="echo 7", **hub)
    assert done.returncode == 0, done.stderr
    assert "and nowhere.invalid does not answer here (" in done.stderr


def test_damaged_weights_in_the_cache_are_refused_and_a_whole_model_is_not_asked_for(gate, tmp_path):
    snapshot = tmp_path / "hub" / "models--me--model" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    for name, content in {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": EMPTY_WEIGHTS,
    }.items():
        (snapshot / name).write_bytes(content)
    assert gate("http://127.0.0.1:1", TOKEN) == ""
    (snapshot / "model.safetensors").write_bytes(EMPTY_WEIGHTS[:-1])
    with pytest.raises(
        ConfigError,
        match=r"me/model in the hub's cache: model.safetensors is incomplete.*models--me--model.*fetch",
    ):
        gate("http://127.0.0.1:1", TOKEN)
