"""data check with --model and --chat-template."""

import json
import time
from pathlib import Path

import pytest

from launcher.__main__ import main
from tests.support.hub import serve

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
REFUSES = "{% if messages %}{{ raise_exception('never') }}{% endif %}"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    path = tmp_path / "chats.jsonl"
    path.write_text(f"{json.dumps(CHAT)}\n")
    return path


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("smollm2_135", "did you mean smollm2_135m?"),
        ("smolm2_135m", "did you mean smollm2_135m?"),
        ("nothing_of_the_kind", "neither in conf/model nor a folder here"),
        ("./models/mine", "is not a folder here; check the path"),
        ("/no/such/model", "is not a folder here; check the path"),
        ("owner/typo", "127.0.0.1:1 does not answer here"),
        ("llama3_1_8b", "127.0.0.1:1 does not answer here"),
    ],
)
def test_a_model_that_is_nowhere_is_refused_in_one_line(
    model: str, said: str, file: Path, capsys: pytest.CaptureFixture[str]
):
    began = time.monotonic()
    assert main(["data", "check", str(file), "--model", model]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"launcher: --model {model}") and said in error and error.count("\n") == 1
    assert time.monotonic() - began < 10


def test_a_model_that_the_hub_does_not_have_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with serve({}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert main(["data", "check", str(file), "--model", "owner/typo", "--json"]) == 1
    assert "RepoNotFound (there is no such model, or HF_TOKEN is missing)" in capsys.readouterr().err
    assert len(hub.requests) == 1


def test_chats_are_rendered_with_the_named_template(file: Path, capsys: pytest.CaptureFixture[str]):
    trained: dict[str, float] = {}
    for template in ("chatml", "llama3"):
        assert (
            main(["data", "check", str(file), "--model", "tiny", "--chat-template", template, "--json"]) == 0
        )
        trained[template] = json.loads(capsys.readouterr().out)["tokens"]["trained_share"]
    assert trained["llama3"] != trained["chatml"]


@pytest.mark.parametrize("model", [[], ["--model", "tiny"]])
def test_a_template_that_refuses_a_chat_is_an_error(
    model: list[str], file: Path, capsys: pytest.CaptureFixture[str]
):
    (file.parent / "own.jinja").write_text(REFUSES)
    assert main(["data", "check", str(file), "--chat-template", "own.jinja", *model, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"]["template"] == 1


def test_a_configuration_s_template_is_used(file: Path, capsys: pytest.CaptureFixture[str]):
    (file.parent / "own.jinja").write_text(REFUSES)
    (file.parent / "my_run.yaml").write_text(
        f"model: {{chat_template: own.jinja}}\ndata: {{path: {file}, eval_path: null}}\nextends: tiny\n"
    )
    assert main(["data", "check", "--config", "my_run.yaml", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"]["template"] == 1
    assert main(["data", "check", "--config", "my_run.yaml", "--chat-template", "chatml", "--json"]) == 0


def test_a_configuration_s_tokenizer_counts_where_it_is_at_hand(
    file: Path, capsys: pytest.CaptureFixture[str]
):
    config = file.parent / "my_run.yaml"
    config.write_text(f"extends: tiny\ndata: {{path: {file}, eval_path: null}}\n")
    assert main(["data", "check", "--config", "my_run.yaml", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)["tokens"]
    assert main(["data", "check", str(file), "--model", "tiny", "--json"]) == 0
    assert counted == json.loads(capsys.readouterr().out)["tokens"] and counted["basis"] == "counted"
    config.write_text(f"extends: llama8b_lora\ndata: {{path: {file}, eval_path: null}}\n")
    assert main(["data", "check", "--config", "my_run.yaml"]) == 0
    assert (
        "4 bytes a token, without the chat template's; --model NAME counts them all)"
        in capsys.readouterr().out
    )


def test_an_unknown_template_is_answered_with_the_nearest(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "check", str(file), "--chat-template", "zephir"]) == 1
    assert "did you mean zephyr?" in capsys.readouterr().err
