"""A run's result reaches a hub whole, privately and once; what exists there is not overwritten without --force."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest

from launcher.__main__ import main
from launcher.errors import ConfigError
from launcher.launching.compose import compose
from launcher.launching.planning import prepare
from launcher.launching.push_target import check_repository
from launcher.run import RunDir
from launcher.run.events.launching import NotPushed, Pushed
from launcher.status.state import read_status
from launcher.supervise.pushing import push
from tests.support.hub_writes import TOKEN, WritableHub, serve_writable
from tests.support.runs import Finished, launch
from tests.support.shapes import check_printed
from tests.support.tiny_model import EMPTY_WEIGHTS

CARD = "---\ntags:\n- launcher\n---\n\n# tiny\n\nAn adapter for `x`, by the run `tiny/1`.\n"
FILES = {
    "README.md": CARD, "adapter_config.json": "{}", "tokenizer.json": "{}", "chat_template.jinja": "{{ x }}",
    "adapter_model.safetensors": EMPTY_WEIGHTS.decode(),
}  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a planned run."""
    folder = tmp_path_factory.mktemp("planned")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["+experiment=tiny", "cluster=local", "dry_run=true", "data.check=off"]) == 0
    finally:
        os.chdir(before)
    return next((folder / "runs" / "tiny").iterdir())


@pytest.fixture
def run(planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run with an adapter in model/, in the working folder."""
    monkeypatch.chdir(tmp_path)
    run = RunDir(tmp_path / "runs" / "tiny" / planned.name)
    run.export.mkdir(parents=True)
    for name in ("config.yaml", "plan.json", "events.jsonl"):
        (run.path / name).write_bytes((planned / name).read_bytes())
    run.logs.mkdir()
    for name, text in FILES.items():
        (run.export / name).write_text(text)
    (run.export / ".cache").mkdir()
    (run.export / ".cache" / "left").write_text("by another program")
    return run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    (tmp_path / "hub").mkdir()
    with serve_writable(tmp_path / "hub") as hub:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def typed(run: RunDir, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of push."""

    def typed(*words: str) -> tuple[int, str, str]:
        code = main(["push", *words])
        printed = capsys.readouterr()
        if "--json" in words:
            check_printed(["push", *words], printed.out)
        return code, printed.out, printed.err

    return typed


def held() -> dict[str, bytes]:
    return {name: text.encode() for name, text in FILES.items()}


def test_all_files_arrive_in_one_commit_of_a_private_repository(run, hub, typed, tmp_path):
    code, out, err = typed("--to", "me/tiny", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert hub.files("me/tiny") == held()
    assert hub.private["me/tiny"] is True
    assert len(hub.commits["me/tiny"]) == 2  # the first made the repository
    assert (result["files"], result["same"], result["commit"]) == (5, 0, hub.commits["me/tiny"][-1])
    assert [event.repository for event in run.read_events(Pushed)] == ["me/tiny"]
    everything = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in content for content in everything)
    code, out, _ = typed("--to", "me/tiny")
    assert code == 0
    assert "nothing: the repository had all files" in out
    assert len(hub.commits["me/tiny"]) == 2


def test_an_interrupted_push_continues_and_sends_no_file_twice(run, hub, typed):
    hub.fails_after = 1
    code, _, err = typed("--to", "lab/tiny", "--public")
    assert code == 3
    assert "The storage is full; type the command again: what was sent is kept" in err
    assert hub.files("lab/tiny") == {}
    hub.fails_after = None
    assert typed("--to", "lab/tiny", "--public")[0] == 0
    assert hub.files("lab/tiny") == held()
    assert hub.private["lab/tiny"] is False
    assert len(hub.sent) == len(set(hub.sent)) == 2


REFUSED: dict[str, tuple[list[str], dict[str, Any], int, str]] = {
    "no repository": ([], {}, 2, "give --to OWNER/NAME"),
    "no owner": (["--to", "tiny"], {}, 1, "--to=tiny has no owner; write OWNER/tiny"),
    "no name of a repository": (["--to", "me/ti ny"], {}, 1, "is not the name of a repository"),
    "no token": (["--to", "me/tiny"], {"HF_TOKEN": ""}, 1, "export HF_TOKEN"),
    "a token that nobody has": (["--to", "me/tiny"], {"HF_TOKEN": "hf_no"}, 1, "does not accept the token"),
    "a token to read": (["--to", "me/tiny"], {"HF_TOKEN": "hf_of_a_reader"}, 1, "can only read"),
    "another's repository": (["--to", "you/tiny"], {}, 1, "you/tiny is not yours: this token writes for me, lab"),
    "not permitted": (["--to", "me/tiny"], {"forbidden": "yes"}, 1, "this token may not write to me/tiny"),
    "other content": (["--to", "me/full"], {}, 1, "exists and holds other content (README.md and 1 more)"),
    "offline": (["--to", "me/tiny"], {"HF_HUB_OFFLINE": "1"}, 3, "HF_HUB_OFFLINE is set"),
    "nobody answers": (["--to", "me/tiny"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, 3, "the hub does not answer here"),
    "no address": (["--to", "me/tiny"], {"HF_ENDPOINT": "x"}, 1, "HF_ENDPOINT=x is not the address of a hub"),
    "no model": (["--to", "me/tiny"], {"model": "gone"}, 1, "has no model yet"),
    "no such run": (["nothing", "--to", "me/tiny"], {}, 1, "nothing"),
    "no such step": (["--to", "me/tiny", "--checkpoint", "7"], {}, 1, "has no checkpoint 7"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "state", "code", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_pushed_is_one_line_and_changes_nothing(
    run, hub, typed, monkeypatch, words, state, code, sentence
):
    hub.make("me/full", private=True, files={"README.md": "another's", "notes.txt": "kept"})
    hub.forbidden = "forbidden" in state
    for name, value in state.items():
        monkeypatch.setenv(name, value)
    if "model" in state:
        run.export.rename(run.path / "gone")
    found, out, err = typed(*words, "--json")
    assert (found, err.count("\n")) == (code, 1)
    assert sentence in err
    assert json.loads(out)["error"]["message"] in err
    assert not hub.sent
    assert hub.files("me/full") == {"README.md": b"another's", "notes.txt": b"kept"}
    assert "me/tiny" not in hub.commits


def test_files_are_replaced_only_with_force_and_never_beside_another_kind_of_model(run, hub, typed):
    hub.make("me/full", private=False, files={"README.md": "older", "notes.txt": "kept"})
    assert typed("--to", "me/full", "--force")[0] == 0
    assert hub.files("me/full") == {**held(), "notes.txt": b"kept"}
    hub.make("me/whole", private=True, files={"config.json": "{}"})
    code, _, err = typed("--to", "me/whole", "--force")
    assert code == 1
    assert "would be loaded together with what is pushed" in err


def test_an_export_is_pushed_by_its_folder_and_no_other_folder_is(run, hub, typed):
    assert typed(str(run.export), "--to", "me/tiny")[0] == 0
    assert hub.files("me/tiny") == held()
    (run.export / "README.md").write_text("somebody's own model")
    code, _, err = typed(str(run.export), "--to", "me/other")
    assert code == 1
    assert "was not written by `launcher export`" in err


def composed(*words: str) -> Any:
    return compose(["+experiment=tiny", "cluster=local", "data.check=off", *words])[0]


def test_a_launch_refuses_a_push_that_would_fail(run, hub, monkeypatch, capsys):
    hub.make("me/full", private=True, files={"a.txt": "a"})
    check_repository(composed("hub.push=me/new").config)
    with pytest.raises(ConfigError, match=r"hub.push=me/full exists and holds a.txt"):
        check_repository(composed("hub.push=me/full").config)
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(ConfigError, match="export HF_TOKEN"):
        check_repository(composed("hub.push=me/new").config)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    check_repository(composed("hub.push=me/new").config)
    assert "HF_HUB_OFFLINE is set, so the run pushes nothing" in capsys.readouterr().err
    one = composed("hub.push=nobody")
    with pytest.raises(ConfigError, match=r"hub.push=nobody has no owner"):
        prepare(one, datetime.now())
    assert (
        main(["-m", "+experiment=tiny", "cluster=local", "hub.push=me/new", "seed=1,2", "dry_run=true"]) == 1
    )
    assert "would be the repository of every trial" in capsys.readouterr().err


def test_the_supervisor_pushes_and_tells_why_it_could_not(run, hub, monkeypatch):
    going: Any = SimpleNamespace(signal=None)
    config = run.config.read_text()
    run.config.write_text(config.replace("  push: null", "  push: me/tiny"))
    push(run, "me/tiny", {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": ""}, going, 1)
    failed = run.read_events(NotPushed)
    assert "export HF_TOKEN" in failed[0].reason
    assert any("python -m launcher push tiny/" in one for one in read_status(run).warnings)
    push(run, "me/tiny", {"HF_HUB_DISABLE_XET": "1"}, going, 1)
    assert hub.files("me/tiny") == held()
    assert len(run.read_events(Pushed)) == 1
    assert not any("not pushed" in one for one in read_status(run).warnings)
    assert TOKEN not in (run.logs / "push.log").read_text()


@pytest.mark.train
@pytest.mark.long
def test_a_run_pushes_its_model_when_it_is_finished(hub, tmp_path, monkeypatch, cache: Path):
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    words = ("hub.push=me/tiny", "hub.merged=true", "plugin=[lora]", "trainer.max_steps=2")
    done: Finished = launch(tmp_path, cache, *words)
    assert [event["event"] for event in done.events()][-2:] == ["finished", "pushed"]
    merged = done.path / "export" / "merged"
    assert hub.files("me/tiny") == {file.name: file.read_bytes() for file in merged.iterdir()}
    assert "config.json" in hub.files("me/tiny")
