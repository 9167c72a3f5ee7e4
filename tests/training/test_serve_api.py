"""Fine-tuning through the server of the API: the page's commands as typed, a killed server, a paused job, our own client."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from tests.support.api_server import CHATS, PAIRS, ApiServer, wait_until
from tests.support.paths import ROOT
from tests.support.runs import command, environment

pytestmark = pytest.mark.train

PAGE = ROOT / "docs/howto/serve_api.md"
ANSWER = "red, green and blue"
COLOURS = [{"role": "user", "content": "Which colours?"}]
SITE = """
models:
  tiny:
    extends: tiny
    plugin: []
    trainer: {learning_rate: 3.0e-3, packing: false, loss_spike: null}
    data.check: errors
run: {cluster: local}
"""


def blocks() -> tuple[str, str, str]:
    """The page's conversion, its commands with curl, and its Python program."""
    page = PAGE.read_text()
    convert = re.search(r"^    (python -m launcher data convert .*)$", page, re.MULTILINE)
    curl = re.search(r"^    AUTH=.*\n(?:    .*\n)+", page, re.MULTILINE)
    python = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert convert and curl and python
    return convert[1], re.sub(r"^    ", "", curl[0], flags=re.MULTILINE), python[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, str]]:
    """A server on this machine whose tiny model is trained whole, so that it knows an answer by heart; and a key."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "site.yaml").write_text(SITE)
    server = ApiServer(folder, ("--site", str(folder / "site.yaml"), "--at-once", "2"))
    key = server.add("anna")
    server.start()
    yield server, key
    server.kill()


@pytest.fixture(scope="module")
def learned(server: tuple[ApiServer, str]) -> FineTuningJob:
    """The job of the page's Python program."""
    found, key = server
    convert, _, python = blocks()
    (found.folder / "questions.csv").write_text(
        "question,answer\n" + f'Which colours?,"{ANSWER}"\n' * 16, encoding="utf-8"
    )
    environ = environment(OPENAI_BASE_URL=found.address, OPENAI_API_KEY=key)
    typed = command(*convert.split()[3:])
    subprocess.run(typed, cwd=found.folder, env=environ, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", python],
        cwd=found.folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stderr}\n{found.log}"
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == ANSWER, done.stdout  # the answer is that of the adapter
    assert any(line.startswith("Step 120/120: training loss=0.0") for line in lines), done.stdout
    assert "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy" in lines
    assert "The job has successfully completed" in lines
    (job,) = found.client(key).fine_tuning.jobs.list().data
    return job


def test_the_pages_python_program_trains_a_model_and_asks_it(learned):
    assert learned.status == "succeeded" and learned.error is None and learned.trained_tokens
    assert re.fullmatch(r"ft:tiny:anna:mine:[0-9a-f]{12}", learned.fine_tuned_model or "")
    assert learned.finished_at and learned.finished_at >= learned.created_at


def test_the_model_and_its_checkpoints_answer_their_owner_alone(server, learned):
    found, key = server
    client = found.client(key)
    assert [one.id for one in client.models.list()] == ["tiny", learned.fine_tuned_model]
    points = client.fine_tuning.jobs.checkpoints.list(learned.id).data
    assert [one.step_number for one in points] == sorted((one.step_number for one in points), reverse=True)
    assert points[0].step_number == 120 and len(points) <= 3 and points[0].metrics.train_loss is not None
    stream = client.chat.completions.create(
        model=points[0].fine_tuned_model_checkpoint, messages=COLOURS, temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == ANSWER
    other = found.client(found.add("eve"))
    for model in (learned.fine_tuned_model, points[0].fine_tuned_model_checkpoint):
        with pytest.raises(openai.NotFoundError):
            other.chat.completions.create(model=model, messages=COLOURS)
    for missing in (f"{learned.fine_tuned_model}:ckpt-step-7", f"{learned.fine_tuned_model}x"):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=missing, messages=COLOURS)


@pytest.mark.long
def test_the_pages_commands_with_curl_work_as_typed(server, learned):
    found, key = server
    typed = blocks()[1].replace(
        '\\"suffix\\"', '\\"hyperparameters\\": {\\"n_epochs\\": 1}, \\"suffix\\"'
    )  # a shorter job
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", typed], cwd=found.folder,
        env=environment(OPENAI_BASE_URL=found.address, OPENAI_API_KEY=key), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{found.log}"
    assert (
        '"status":"succeeded"' in done.stdout
        and "New fine-tuned model created: ft:tiny:anna:mine:" in done.stdout
    )
    answer = json.loads(done.stdout[done.stdout.rindex('{"id":"chatcmpl') :])
    assert answer["object"] == "chat.completion" and answer["usage"]["completion_tokens"] >= 1


@pytest.mark.long
def test_a_job_outlives_a_killed_server_and_goes_on_after_a_pause(server, learned):
    found, key = server
    client = found.client(key)
    file = client.files.create(file=("a.jsonl", CHATS), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=file, validation_file=file,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 50, "batch_size": 1}}},
    ).id  # fmt: skip

    def messages() -> list[str]:
        return [event.message for event in client.fine_tuning.jobs.list_events(job, limit=100)]

    wait_until(lambda: any(one.startswith("Step ") for one in messages()))
    found.kill()
    client.close()
    found.start()
    client = found.client(key)
    assert client.fine_tuning.jobs.retrieve(job).status == "running"
    assert client.fine_tuning.jobs.pause(job).status == "paused"
    wait_until(lambda: "The job is paused" in messages())
    assert client.fine_tuning.jobs.retrieve(job).status == "paused"
    client.fine_tuning.jobs.resume(job)
    wait_until(lambda: client.fine_tuning.jobs.retrieve(job).status == "succeeded", 240)
    (run,) = (found.data / "runs" / job).iterdir()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("submitted") == 2  # before and after the pause
    assert next(event for event in events if event["event"] == "resumed")["step"] > 0
    steps = [
        event.data["step"]
        for event in client.fine_tuning.jobs.list_events(job, limit=100)
        if event.message.startswith("Step ") and event.data and "train_loss" in event.data
    ]
    assert len(steps) == len(set(steps)) and steps[0] == 600
    assert "valid_loss" in json.dumps(
        [one.data for one in client.fine_tuning.jobs.list_events(job, limit=100)]
    )


@pytest.mark.long
def test_our_own_client_trains_with_both_methods(server, learned, tmp_path):
    found, key = server
    environ = environment(OPENAI_BASE_URL=found.address, OPENAI_API_KEY=key)
    for method, rows in (("supervised", CHATS), ("dpo", PAIRS)):
        (tmp_path / f"{method}.jsonl").write_bytes(rows)
        words = [
            "managed",
            "create",
            f"{method}.jsonl",
            "--model",
            "tiny",
            "--method",
            method,
            "--epochs",
            "1",
            "--json",
        ]
        done = subprocess.run(
            command(*words, "--poll"), cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr + found.log
        job = json.loads(done.stdout)
        assert job["status"] == "succeeded" and job["fine_tuned_model"].startswith("ft:tiny:anna:")
        again = subprocess.run(
            command(*words), cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
        )
        assert json.loads(again.stdout)["existing"] and json.loads(again.stdout)["id"] == job["id"]
    listed = subprocess.run(
        command("managed", "list", "--json"),
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(listed.stdout)["jobs"]) >= 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "more", "ends", "said"),
    [
        ("fred", (), "cancelled", "The job was cancelled"),
        ("gina", ("--gpu-hours", "0.0005"), "failed", "The quota of GPU-hours is used up"),
    ],
)
def test_a_run_ends_by_a_cancel_or_when_its_hours_are_used_up(server, learned, name, more, ends, said):
    found, _ = server
    client = found.client(found.add(name, *more))
    file = client.files.create(file=("a.jsonl", CHATS), purpose="fine-tune").id
    hyperparameters = {"n_epochs": 50, "batch_size": 1}
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file, hyperparameters=hyperparameters).id
    wait_until(lambda: client.fine_tuning.jobs.retrieve(job).status in ("running", ends))
    if ends == "cancelled":
        client.fine_tuning.jobs.cancel(job)
    wait_until(lambda: client.fine_tuning.jobs.retrieve(job).status == ends, 120)
    wait_until(lambda: said in [one.message for one in client.fine_tuning.jobs.list_events(job)], 120)
    (run,) = (found.data / "runs" / job).iterdir()
    wait_until(lambda: not lives(run))
    assert client.fine_tuning.jobs.retrieve(job).fine_tuned_model is None


@pytest.mark.long
def test_chats_with_two_models_take_turns_when_one_fits(server, learned):
    """Many clients ask two models, of which one is in memory at a time: each gets an answer, or is told to try again."""
    found, key = server
    client = found.client(key, max_retries=8, timeout=150)
    models = [one.id for one in client.models.list() if one.id.startswith("ft:")][:2]
    answers: list[str] = []

    def ask(model: str) -> None:
        done = client.chat.completions.create(model=model, messages=COLOURS, temperature=0, max_tokens=8)
        answers.append(done.model)

    threads = [threading.Thread(target=ask, args=(model,)) for model in models * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert sorted(answers) == sorted(models * 3)


def lives(run: Path) -> bool:
    """Whether a process has the run dir among its arguments."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if os.fsencode(run) in (entry / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False


@pytest.mark.long
def test_ctrl_c_ends_the_server_and_not_its_jobs(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    server = ApiServer(tmp_path, ("--site", str(tmp_path / "site.yaml")))
    client_key = server.add("anna")
    server.start()
    client = server.client(client_key)
    file = client.files.create(file=("a.jsonl", CHATS), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file).id
    wait_until(lambda: client.fine_tuning.jobs.retrieve(job).status == "running")
    (run,) = (server.data / "runs" / job).iterdir()
    assert server.end(signal.SIGINT) == 130
    assert "the server has ended" in server.log
    wait_until(lambda: (run / "model" / "config.json").exists() and not lives(run), 120)
    server.start()
    wait_until(lambda: client.fine_tuning.jobs.retrieve(job).status == "succeeded")
    server.kill()
