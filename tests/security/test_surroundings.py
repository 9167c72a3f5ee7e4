"""Commands in odd surroundings: no home, another locale, streams that are closed or full, and names without measure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import ConfigError, Exit
from launcher.launching.compose import compose
from tests.security.broken import fill, plan_run
from tests.security.calls import call
from tests.support import preloaded
from tests.support.paths import ROOT

PLAN = ("plan", "+experiment=tiny", "cluster=local")
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale of another encoding than UTF-8, which every machine has."""


def start(
    folder: Path, *words: str, redirect: str = "", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """A command of a shell, so that its streams are as a person has them."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    line = f'"$0" -m launcher "$@" {redirect}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *words], cwd=folder, env=environment, capture_output=True, timeout=300
    )  # fmt: skip


def test_without_a_home_the_password_file_knows_it(tmp_path):
    done = preloaded.run([*PLAN, "--json"], tmp_path, {"PATH": "", "XDG_CACHE_HOME": ""})
    assert done.returncode == 0, done.stderr
    done = preloaded.run(
        ["launch", *PLAN[1:], "dry_run=true", "freeze=false", "--json"], tmp_path, {"PATH": ""}
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads((Path(json.loads(done.stdout)["run_dir"]) / "plan.json").read_text())
    assert plan["facts"]["cache_dir"] == str(
        Path("~root" if os.geteuid() == 0 else "~").expanduser() / ".cache/launcher"
    )


def test_nothing_is_cached_in_a_folder_that_anybody_may_have_filled(monkeypatch):
    """A user whom the password file does not know, as in a container."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(ConfigError, match="HOME, which is not set; set it"):
        compose(list(PLAN[1:]))


def test_in_another_locale_files_and_their_names_are_utf8(tmp_path):
    (tmp_path / "zeilen_ä.jsonl").write_text(
        json.dumps({"text": "ö"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    runs = 'runs_dir="läufe"'
    done = start(tmp_path, "launch", *PLAN[1:], "dry_run=true", "freeze=false", runs, "--json", **ASCII)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["run_dir"]).is_relative_to(tmp_path / "läufe")
    for words in (["report", "--out", "seite_ä.html"], ["status"], ["list", "--planned"]):
        done = start(tmp_path, *words, "--runs-dir", "läufe", **ASCII)
        assert done.returncode == 0, done.stderr
    assert "läufe" in (tmp_path / "seite_ä.html").read_text(encoding="utf-8")
    done = start(tmp_path, "data", "check", "zeilen_ä.jsonl", **ASCII)
    assert b"Traceback" not in done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return fill(plan_run(tmp_path_factory.mktemp("surroundings"))).path


def commands(run: Path) -> list[list[str]]:
    """Commands that print much or little, of each way of printing."""
    data = str(ROOT / "conf" / "data" / "quickstart" / "train.jsonl")
    return [
        [*PLAN], [*PLAN, "--json"], ["plan", "--sweep", *PLAN[1:], "seed=1,2"], ["rules"], ["help"], ["status", "--help"],
        ["status", str(run)], ["status", str(run), "--json"], ["list", "--runs-dir", str(run.parents[1])], ["logs", str(run)],
        ["checkpoints", str(run)], ["calibrate", str(run)], ["data", "check", data], ["data", "rules"], ["--version"],
        ["launch", *PLAN[1:], "dry_run=true", "freeze=false", f"runs_dir={run.parents[2] / 'others'}"],
    ]  # fmt: skip


def test_a_stdout_that_is_full_is_one_line_in_every_command(run: Path, monkeypatch, capsys):
    for words in commands(run):
        with Path("/dev/full").open("w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            code = main(words)
            monkeypatch.undo()
        assert code == Exit.REFUSED, words
        *_, last = capsys.readouterr().err.splitlines()
        assert last == "launcher: the output cannot be written: No space left on device; free some space"


def test_a_reader_who_has_gone_is_no_error_in_any_command(run: Path, monkeypatch, capsys):
    for words in commands(run):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as pipe:
            monkeypatch.setattr(sys, "stdout", pipe)
            code = main(words)
            monkeypatch.undo()
        assert code == Exit.PIPE_CLOSED, words
        assert "rror" not in capsys.readouterr().err.replace("on_bad_row=error", "")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_streams_that_are_closed_or_full_change_no_exit_code(tmp_path, redirect: str):
    for words, code in ((["rules"], 0), (["status", "nothing"], 1)):
        done = start(tmp_path, *words, redirect=redirect)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr


LONG = "a" * 300, "a" * 5000, "/".join(["a" * 200] * 30), "\udcff" * 300


@pytest.mark.parametrize("name", LONG, ids=["300", "5000", "path", "bytes"])
def test_a_name_without_measure_is_a_refusal_in_one_line(run: Path, tmp_path, monkeypatch, name: str):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["launch", *PLAN[1:], "dry_run=true", "freeze=false", f"name={name}"],
        [*PLAN, f"runs_dir={name}"],
        [*PLAN, f"cache_dir={name}"],
        [*PLAN, f"data.path={name}"],
        [*PLAN, f"model.name_or_path={name}"],
        [*PLAN, f"model.chat_template={name}"],
        [*PLAN, f"model.adapter={name}"],
        [*PLAN, f"resume={name}"],
        [*PLAN[:1], f"+experiment={name}"],
        ["plan", "--config", name],
        ["plan", "--config-dir", name, *PLAN[1:]],
        ["status", name],
        ["status", "--runs-dir", name],
        ["list", "--runs-dir", name],
        ["report", str(run), "--out", name],
        ["data", "check", name],
        ["data", "convert", name, "out.jsonl", "--to", "messages"],
        ["sweep", "status", name],
        ["sweep", "best", name],
        ["remove", name, "--yes"],
        ["cancel", name],
        ["export", name],
        ["chat", name, "--prompt", "x"],
        ["calibrate", str(run), "--write", f"{name}.yaml"],
        ["convert-recipe", name, "-o", "out.yaml"],
        ["init", "--model", "tiny", "--data", name, "-o", "out.yaml"],
        [name],
    ):
        called = call(words)
        assert not called.fault, (words[:2], called.fault)
        assert len(called.err.splitlines()) <= 3 or called.code == 0, (words[:2], called.err)
