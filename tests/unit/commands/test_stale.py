"""Whether a base model has changed, asked of a real HTTP server instead of the hub."""

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import preloaded
from tests.support.runs import environment
from tests.support.tiny_model import EMPTY_WEIGHTS

PINNED = "0e9e39f249a16976918f6564b8830bc894c89659"  # conf/model/llama3_1_8b.yaml
OTHER = "1234567890abcdef1234567890abcdef12345678"


class Hub(http.server.ThreadingHTTPServer):
    """Answers for models as the hub does; `commits` says what each branch has."""

    def __init__(self) -> None:
        self.commits: dict[str, str] = {}
        self.asked: list[str] = []
        self.silent, self.over = False, threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.silent:
            self.server.over.wait(300)
            return
        branch = self.path.rpartition("/revision/")[2]
        commit = self.server.commits.get(branch)
        body = json.dumps({"id": "some/model", "sha": commit} if commit else {"error": "not found"}).encode()
        self.send_response(200 if commit else 404)
        if not commit:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test reads `asked`."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    yield hub
    hub.over.set()
    hub.shutdown()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The run dir of a run that was planned and never started."""

    @functools.cache
    def planned(*overrides: str) -> Path:
        arguments = ("+experiment=llama8b_lora", "dry_run=true", "cluster=local", "resources.device=cpu", "--json",
                     "resources.gpus_per_node=1", *overrides)  # fmt: skip
        folder = tmp_path_factory.mktemp("run")
        done = preloaded.run(arguments, folder, environment(), timeout_s=120)
        assert done.returncode == 0, done.stderr
        return Path(json.loads(done.stdout.splitlines()[0])["run_dir"])

    return planned


def stale(run: Path, *options: str, **variables: str) -> tuple[int, dict]:
    done = preloaded.run(
        ("stale", str(run), "--json", *options),
        Path.cwd(),
        environment(HF_HOME=str(run / "hub"), **variables),
        timeout_s=60,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_base_model_is_held_against_its_branch_on_the_hub(hub, planned):
    run, endpoint = planned(), f"http://127.0.0.1:{hub.server_port}"
    hub.commits["main"] = PINNED
    code, told = stale(run, HF_ENDPOINT=endpoint)
    assert (code, told["verdict"], told["trained"], told["newest"]) == (0, "same", PINNED, PINNED)
    hub.commits["main"] = OTHER
    code, told = stale(run, HF_ENDPOINT=endpoint)
    assert (code, told["verdict"], told["trained"], told["newest"]) == (12, "moved", PINNED, OTHER)
    assert "/api/models/meta-llama/Llama-3.1-8B-Instruct/revision/main" in hub.asked


def test_the_commit_that_the_ranks_noted_and_the_branch_that_was_requested_count(hub, planned):
    run, endpoint = planned("model.revision=v2"), f"http://127.0.0.1:{hub.server_port}"
    hub.commits = {"v2": OTHER, "main": PINNED}
    assert stale(run, HF_ENDPOINT=endpoint)[1]["reason"].startswith(
        "the run has not recorded which revision it loaded"
    )
    event = {"time": "2026-01-01T00:00:00.000+00:00", "event": "base", "attempt": 1, "commit": OTHER}
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    code, told = stale(run, HF_ENDPOINT=endpoint)
    assert (code, told["verdict"], told["branch"]) == (0, "same", "v2")


def test_what_cannot_be_told_has_an_exit_code_of_its_own_and_a_reason(hub, planned, tmp_path):
    run, endpoint = planned(), f"http://127.0.0.1:{hub.server_port}"
    (tmp_path / "model").mkdir()
    for name, text in {
        "config.json": "{}",
        "tokenizer.json": "{}",
        "model.safetensors": EMPTY_WEIGHTS.decode(),
    }.items():
        (tmp_path / "model" / name).write_text(text)
    hub.commits = {}
    for told, reason in (
        (
            stale(run, HF_ENDPOINT=endpoint),
            "the hub has no meta-llama/Llama-3.1-8B-Instruct, or you have no access to it",
        ),
        (stale(run, HF_ENDPOINT="http://127.0.0.1:1"), "the hub does not answer (["),
        (stale(run, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set, so the hub is not queried"),
        (stale(planned("model=tiny")), "the ranks made the model with random weights from the seed"),
        (stale(planned("model=smollm2_135m")), "the model comes from an installed Python package"),
        (
            stale(planned(f"model.name_or_path={tmp_path}/model", "model.chat_template=chatml")),
            "the model is a local folder",
        ),
    ):
        assert told[0] == 13
        assert told[1]["verdict"] == "cannot_tell"
        assert told[1]["reason"].startswith(reason)


def test_a_hub_that_never_answers_is_given_up(hub, planned):
    run = planned()
    hub.silent = True
    code, told = stale(run, "--timeout", "1", HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}")
    assert (code, told["verdict"]) == (13, "cannot_tell")
    assert told["reason"].startswith("the hub does not answer (")
    assert any("/api/models/" in path for path in hub.asked)
