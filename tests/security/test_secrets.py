"""Secrets of the environment, and what a launch leaves on the disk for other users to read."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.masking import HIDDEN, mask
from launcher.run import RunDir
from launcher.run.events.ranks import Crashed
from tests.security.broken import plan_run
from tests.security.calls import call

VALUE = "correct-horse-battery"


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "GITHUB_PAT",
        "MY_SECRET",
        "DB_PASS",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "OPENAI_KEY",
        "GOOGLE_CREDENTIAL",
    ],
)
def test_the_value_of_a_secret_variable_is_masked(name: str):
    assert mask(f"sent {VALUE} twice: {VALUE}", {name: VALUE}) == f"sent {HIDDEN} twice: {HIDDEN}"


@pytest.mark.parametrize("name", ["PATH", "TOKENIZERS_PARALLELISM", "KEYBOARD", "PATTERN", "COMPASS"])
def test_the_value_of_another_variable_is_not(name: str):
    assert mask(VALUE, {name: VALUE}) == VALUE


def test_a_file_that_holds_a_secret_may_be_named():
    assert mask("read /home/me/.ssh/id", {"SSH_KEY": "/home/me/.ssh/id"}) == "read /home/me/.ssh/id"


def test_passwords_of_addresses_and_known_tokens_are_masked_wherever_they_come_from():
    text = "proxy http://me:pass word@host and https://me:hunter2@host:80/x with hf_" + "a" * 30
    assert "hunter2" not in mask(text, {})
    assert "hf_a" not in mask(text, {})


def test_no_event_holds_a_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", VALUE)
    run = RunDir(tmp_path)
    trace = [f'  download(token="{VALUE}")', "  get('https://me:hunter2@hub.example')"]
    run.note(Crashed(attempt=1, host="n1", rank=0, error=f"401 for {VALUE}", traceback=trace))
    text = run.events.read_text()
    assert VALUE not in text
    assert "hunter2" not in text
    assert json.loads(text)["error"] == f"401 for {HIDDEN}"


def test_a_run_dir_is_this_users_alone_unless_it_is_to_be_shared(tmp_path):
    before = os.umask(0o022)
    try:
        run = plan_run(tmp_path)
        words = [
            "+experiment=tiny",
            "cluster=local",
            "dry_run=true",
            "freeze=false",
            "umask_shared=true",
            "--json",
        ]
        called = call([*words, f"runs_dir={tmp_path / 'shared'}"])
    finally:
        os.umask(before)
    assert called.code == 0, called.err
    shared = Path(json.loads(called.out)["run_dir"])
    assert (run.path.stat().st_mode & 0o777, shared.stat().st_mode & 0o777) == (0o700, 0o755)


def test_a_run_dir_that_could_not_be_written_whole_is_none(tmp_path):
    """A limit on the size of files takes the part of a full disk: plan.json does not fit."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)); "
        "from launcher.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [
        "+experiment=tiny",
        "cluster=local",
        "dry_run=true",
        "freeze=false",
        f"runs_dir={tmp_path / 'runs'}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert os.strerror(errno.EFBIG) in done.stderr
    assert list((tmp_path / "runs").rglob("plan.json")) == []
    assert list((tmp_path / "runs" / "tiny").iterdir()) == []
