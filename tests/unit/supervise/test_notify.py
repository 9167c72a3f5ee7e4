"""Messages of a run, with a server on this machine and programs on PATH instead of those of a site."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.run.events.checkpoints import Saved
from launcher.run.events.supervisor import Notified, Started
from launcher.supervise.__main__ import main
from launcher.supervise.notify import FAILED, FINISHED, FIRST_CHECKPOINT, Notifier


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """What a hook of MY_HOOK was sent."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "refused" in self.path:
                self.send_error(403)
                return
            got.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("MY_HOOK", f"{address}/secret0123456789abc")
    monkeypatch.setenv("REFUSED_HOOK", f"{address}/refused")
    yield got
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "mine" / "2026-11-28_10-00-00")
    run.path.mkdir(parents=True)
    run.note(Started(attempt=1))
    return run


def test_each_message_is_sent_once_also_after_a_requeue(hook, run):
    run.note(Saved(attempt=1, step=20))
    for _ in range(2):
        notifier = Notifier(run, ["env:MY_HOOK"])
        notifier.start()
        notifier.close()
    notifier.tell(FINISHED, "The run has finished.")
    Notifier(run, ["env:MY_HOOK"]).tell(FINISHED, "The run has finished.")
    assert [one["text"].splitlines() for one in hook] == [
        [f"{run.name}: {FIRST_CHECKPOINT}", "The first checkpoint is committed, at step 20."],
        [f"{run.name}: {FINISHED}", "The run has finished."],
    ]
    assert [(one.what, one.target) for one in run.read_events(Notified)] == [
        (FIRST_CHECKPOINT, "env:MY_HOOK"), (FINISHED, "env:MY_HOOK"),
    ]  # fmt: skip
    assert "secret0123456789abc" not in run.events.read_text()


def test_a_run_that_fails_again_after_a_resume_tells_so_again(hook, run):
    Notifier(run, ["env:MY_HOOK"]).tell(FAILED, "one")
    Notifier(run, ["env:MY_HOOK"]).tell(FAILED, "one")
    run.note(Started(attempt=2))
    Notifier(run, ["env:MY_HOOK"]).tell(FAILED, "two")
    assert [one["text"].splitlines()[1] for one in hook] == ["one", "two"]


def test_a_secret_of_the_environment_is_not_in_a_message(hook, run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh1")
    Notifier(run, ["env:MY_HOOK"]).tell(FAILED, "GET https://x?token=hf_abcdefgh1 failed")
    assert "hf_abcdefgh1" not in hook[0]["text"]


def test_what_cannot_be_sent_is_reported_without_its_address_and_the_rest_is_sent(
    hook, run, monkeypatch, capsys
):
    monkeypatch.setenv("DEAD_HOOK", "http://127.0.0.1:9/secret0123456789abc")
    items = ["env:UNSET", "env:REFUSED_HOOK", "env:DEAD_HOOK", "env:MY_HOOK"]
    Notifier(run, items).tell(FINISHED, "done")
    said = capsys.readouterr().err
    assert "env:UNSET" in said
    assert "the message 'finished' was not sent to env:REFUSED_HOOK: the server answered 403" in said
    assert "env:DEAD_HOOK" in said
    assert "secret0123456789abc" not in said
    assert len(hook) == 1


@pytest.mark.parametrize("program", ["sendmail", "mail"])
def test_mail_goes_through_the_program_of_the_host(program, run, tmp_path, monkeypatch):
    got, fake = tmp_path / "got", tmp_path / program
    fake.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" "$(</dev/stdin)" > {got}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    Notifier(run, ["mailto:me@site.org"]).tell(FINISHED, "all is well")
    assert "me@site.org" in got.read_text().splitlines()
    assert f"{run.name}: finished" in got.read_text()
    assert "all is well" in got.read_text()


def test_trials_of_a_sweep_send_nothing(hook, tmp_path):
    trial = RunDir(tmp_path / "mine" / "sweep_2026-11-28_10-00-00" / "3")
    trial.path.mkdir(parents=True)
    Notifier(trial, ["env:MY_HOOK"]).tell(FAILED, "one")
    assert hook == []


def test_a_run_that_is_refused_at_its_start_tells_so(hook, cli, tmp_path, monkeypatch):
    done = cli(
        "+experiment=tiny", "cluster=local", "dry_run=true", "notify=[env:MY_HOOK]", "data.check=off", "--json",
        MY_HOOK="https://host/x",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = RunDir(Path(json.loads(done.stdout)["run_dir"]))
    plan = json.loads(run.plan.read_text())
    plan["facts"]["version"] = 3
    run.plan.write_text(json.dumps(plan | {"run": "another"}))
    assert main([str(run.path)]) != 0
    assert hook[0]["text"].startswith(f"{run.name}: failed\nThe run has stopped: ")
