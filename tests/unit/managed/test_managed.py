"""Fine-tuning at a provider, against a small server of OpenAI's shape."""

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.__main__ import main
from tests.support.openai_server import KEY, Provider, openai_server

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with openai_server() as found:
        yield found


@pytest.fixture
def say(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """`python -m launcher managed ...` in this process: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def say(*arguments: str) -> tuple[int, str, str]:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = main(["managed", *arguments])
        return code, out.getvalue(), error.getvalue()

    return say


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    rows = [
        {"instruction": f"What is {number} and one?", "output": f"It is {number + 1}, as you know."}
        for number in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_job_is_created_followed_and_its_model_named(say, provider, data, tmp_path):
    code, out, error = say(
        "create", str(data), "--model", "gpt-x", "--suffix", "mine", "--epochs", "2", "--price-per-million", "25",
        "--poll", "--every-s", "0.01",
    )  # fmt: skip
    assert code == 0, error
    assert provider.jobs[0]["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2}},
    }
    lines = out.splitlines()
    assert re.search(r"about \d+ tokens x 2 epochs", lines[0]) and "about 0.0" in lines[1]
    assert "ftjob-1  now running" in lines
    assert lines[-1].split() == ["model", "ft:gpt-x:me:mine:1"]
    first = json.loads(provider.files["file-1"].splitlines()[0])
    assert first == {
        "messages": [
            {"role": "user", "content": "What is 0 and one?"},
            {"role": "assistant", "content": "It is 1, as you know."},
        ]
    }
    everything = (
        out + error + "".join(path.read_text() for path in (tmp_path / "runs").rglob("*") if path.is_file())
    )
    assert KEY not in everything


def test_the_price_is_reported_before_anything_is_sent(say, provider, data):
    provider.busy = 99
    code, out, error = say("create", str(data), "--model", "gpt-x", "--price-per-million", "25")
    assert code == 1 and "429, Rate limit reached" in error and len(error.splitlines()) == 1
    assert "price" in out
    assert provider.jobs == []


def test_the_same_command_starts_no_second_job(say, provider, data):
    for _ in range(2):
        code, out, _ = say("create", str(data), "--model", "gpt-x", "--json")
        assert code == 0 and json.loads(out)["id"] == "ftjob-1"
    assert json.loads(out)["existing"] is True
    assert len(provider.files) == 1
    assert json.loads(say("create", str(data), "--model", "gpt-x", "--json", "--again")[1])["id"] == "ftjob-2"
    assert json.loads(say("create", str(data), "--model", "gpt-y", "--json")[1])["id"] == "ftjob-3"


def test_a_file_that_the_provider_has_deleted_starts_no_second_job(say, provider, data, tmp_path):
    held_out = tmp_path / "eval.jsonl"
    held_out.write_text("".join(data.read_text().splitlines(keepends=True)[:3]))
    command = ("create", str(data), "--eval", str(held_out), "--model", "gpt-x", "--json")
    assert say(*command)[0] == 0
    provider.files.clear()
    code, out, _ = say(*command)
    assert (code, json.loads(out)["id"], json.loads(out)["existing"]) == (0, "ftjob-1", True)
    assert provider.uploads == 4 and len(provider.jobs) == 1
    held_out.write_text(data.read_text())
    assert json.loads(say(*command)[1])["id"] == "ftjob-2"


def test_a_job_that_the_provider_has_deleted_is_created_again_only_if_asked(say, provider, data):
    typed = ("create", str(data), "--model", "gpt-x")
    assert say(*typed)[0] == 0
    provider.jobs.clear()
    code, _, error = say(*typed)
    assert code == 1 and not provider.jobs
    assert "the provider no longer has it; --again creates another" in error and len(error.splitlines()) == 1
    assert say(*typed, "--again")[0] == 0
    assert len(provider.jobs) == 1


def test_a_file_that_cannot_be_asked_about_is_not_taken_for_deleted(say, provider, data):
    assert say("upload", str(data))[0] == 0
    provider.broken_files = True
    code, _, error = say("create", str(data), "--model", "gpt-x")
    assert code == 1 and "403, Your project has no access to files" in error and len(error.splitlines()) == 1
    assert provider.uploads == 1 and provider.jobs == []


def test_a_job_whose_answer_was_lost_is_found_again(say, provider, data):
    provider.drop_create = True
    code, _, error = say("create", str(data), "--model", "gpt-x")
    assert code == 3 and "run the same command again: it finds the job, or creates it" in error
    code, out, _ = say("create", str(data), "--model", "gpt-x", "--json")
    assert (code, json.loads(out)["id"], json.loads(out)["existing"]) == (0, "ftjob-1", True)
    assert len(provider.jobs) == 1


def test_a_poll_that_ended_can_be_repeated_and_needs_no_id(say, provider, data):
    say("create", str(data), "--model", "gpt-x")
    assert json.loads(say("status", "--json")[1])["status"] == "queued"
    assert say("poll", "--every-s", "0.01")[0] == 0
    code, out, _ = say("poll", "--json")
    assert code == 0 and json.loads(out)["fine_tuned_model"] == "ft:gpt-x:me::1"


def test_a_failed_job_is_exit_code_3_with_the_reason_and_the_next_create_makes_another(say, provider, data):
    provider.ends = "failed"
    code, out, _ = say("create", str(data), "--model", "gpt-x", "--poll", "--every-s", "0.01")
    assert code == 3 and "The file is no good" in out
    assert json.loads(say("create", str(data), "--model", "gpt-x", "--json")[1])["id"] == "ftjob-2"


def test_jobs_are_listed_and_cancelled(say, provider, data):
    say("create", str(data), "--model", "gpt-x")
    assert say("cancel", "ftjob-1")[0] == 0
    assert (provider.asked[-1][1], provider.bodies[-1]) == ("/v1/fine_tuning/jobs/ftjob-1/cancel", b"")
    assert [job["status"] for job in json.loads(say("list", "--json")[1])["jobs"]] == ["cancelled"]


def test_pairs_become_the_three_parts_that_dpo_wants(say, provider, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n}?", "chosen": f"Yes, {n}.", "rejected": f"No, {n}."} for n in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = say("create", str(path), "--model", "gpt-x", "--method", "dpo", "--beta", "0.2")
    assert code == 0, error
    assert provider.jobs[0]["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
    assert json.loads(provider.files["file-1"].splitlines()[0]) == {
        "input": {"messages": [{"role": "user", "content": "Question 0?"}]},
        "preferred_output": [{"role": "assistant", "content": "Yes, 0."}],
        "non_preferred_output": [{"role": "assistant", "content": "No, 0."}],
    }


@pytest.mark.parametrize(
    ("text", "more", "why"),
    [
        ('{"messages": [{"role": "user", "content": "a"}]}\n', (), "line 1"),
        (
            '{"prompt": "a", "completion": "b"}\n' * 3,
            (),
            "holds 3 rows, but a fine-tuning file needs at least 10",
        ),
        ('{"prompt": "a", "completion": "b"}\n' * 12, ("--method", "dpo"), "has no rejected answer"),
        ('{"prompt": "a", "completion": "b"}\n' * 12, ("--suffix", "x" * 65), "at most 64"),
    ],
)
def test_what_the_provider_would_refuse_is_not_sent(say, provider, tmp_path, text, more, why):
    (tmp_path / "bad.jsonl").write_text(text)
    code, _, error = say("create", str(tmp_path / "bad.jsonl"), "--model", "gpt-x", *more)
    assert code in (1, 2) and why in error and len(error.splitlines()) == 1
    assert provider.jobs == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("OPENAI_API_KEY", "", "OPENAI_API_KEY is not set"),
        ("OPENAI_API_KEY", "sk-wrong", "401, Incorrect API key provided: Bearer ***"),
        ("OPENAI_BASE_URL", "", "OPENAI_BASE_URL is not set, and there is no default: export"),
        ("OPENAI_BASE_URL", "http://example.com/v1", "unencrypted"),
        ("OPENAI_BASE_URL", "https://me:secret@example.com/v1", "without a name or password"),
    ],
)
def test_a_wrong_key_or_address_is_one_line_without_the_key(say, monkeypatch, name, value, why):
    monkeypatch.setenv(name, value)
    code, _, error = say("list")
    assert code == 1 and why in error and len(error.splitlines()) == 1
    assert "sk-wrong" not in error and "secret" not in error


def test_an_address_where_nobody_listens_is_reported_with_its_variable(say, monkeypatch):
    from launcher.managed.api import Api, ApiError

    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ApiError, match="is OPENAI_BASE_URL right"):
        Api(wait_s=0.01).job("ftjob-1")


def test_without_httpx_the_pip_line_is_named(cli, tmp_path):
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "httpx.py").write_text("raise ImportError")
    done = cli("managed", "list", PYTHONPATH=str(tmp_path / "absent"), OPENAI_API_KEY=KEY)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "managed needs httpx" in done.stderr and "pip install 'launcher[managed]'" in done.stderr


def test_a_key_that_httpx_refuses_is_not_shown(say, monkeypatch):
    from launcher.managed.api import Api, ApiError

    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY} ")
    with pytest.raises(ApiError) as refused:
        Api(wait_s=0.01).job("ftjob-1")
    assert KEY not in str(refused.value)
