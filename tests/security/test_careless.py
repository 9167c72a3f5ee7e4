"""Files that nobody should have named, and files that lie in wait where a command reads or writes."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from launcher.after.upload import upload
from launcher.data.rendering import problems
from launcher.data.template import ChatTemplate
from launcher.data.template_limit import Limit, limited_environment
from launcher.errors import ConfigError, RunError
from launcher.run import RunDir, write_text
from launcher.train.node_cache import NodeCache
from tests.security.calls import call

OTHER = 65_533
NOBODY = cast("Any", None)


@pytest.mark.parametrize(
    "words", [["plan", "--config"], ["convert-recipe", "-o", "out.yaml"]], ids=["config", "recipe"]
)
@pytest.mark.parametrize("file", ["/dev/zero", "/dev/null", "/", "pipe"])
def test_a_device_or_a_pipe_without_a_writer_is_no_wait(tmp_path, monkeypatch, words: list[str], file: str):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    called = call([*words, file])
    assert (called.code, called.fault) == (1, "")
    assert len(called.err.splitlines()) == 1


def test_a_file_may_come_through_a_pipe(tmp_path):
    line = (
        'exec "$0" -m launcher plan --config <(sleep 0.3; printf "extends: tiny\\ncluster: local\\n") --json'
    )
    done = subprocess.run(
        ["bash", "-c", line, sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_a_small_file_that_unpacks_to_a_line_without_end_is_one_line(tmp_path):
    piece = gzip.compress(b"a" * (1 << 20), mtime=0)
    bomb = tmp_path / "bomb.jsonl.gz"
    bomb.write_bytes(piece * 260)
    called = call(["data", "check", str(bomb)])
    assert (called.code, called.fault) == (1, "")
    assert "has a line of more than 256 MiB" in called.err


def test_no_command_replaces_a_device_or_a_pipe(tmp_path):
    """As root, `--out /dev/null` once made a file of it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a device or a pipe"):
        write_text(pipe, "text")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("how", ["open to all", "of another", "a link"])
def test_a_copy_on_a_node_is_never_another_users(tmp_path, how: str):
    folder = tmp_path / f"launcher_{os.getuid()}"
    if how == "a link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        folder.chmod(0o777 if how == "open to all" else 0o700)
        if how == "of another":
            if os.geteuid() != 0:
                pytest.skip("only root can give files to another user")
            os.chown(folder, OTHER, OTHER)
    with pytest.raises(ConfigError, match="so its content cannot be trusted"):
        NodeCache(str(tmp_path), RunDir(tmp_path), 1, NOBODY)


def test_a_push_sends_nothing_that_a_link_names(tmp_path):
    (tmp_path / "secret").write_text("secret")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match="nothing was pushed"):
        upload(NOBODY, model, "a/b", NOBODY, private=True, force=False, quiet=True, message="", warning=None)
    assert Path(model / "config.json").is_symlink()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "more than 1,000,000 rounds",
        ),
        ("{{ 'a' * 300_000_000 }}", "a text of 300"),
        ("{{ 'a' * 10 ** 15 }}", "a text of 1,000,000,000,000,000 characters"),
        ("{{ 10 ** 99999999 }}", "a number to the power of 99999999"),
        (
            "{% for a in messages[0].content %}{% for b in messages[0].content %}{% endfor %}{% endfor %}",
            "more than 1,000,000 rounds",
        ),
        (
            "{% for a in messages[0].content if a %}{% for b in messages[0].content if not b %}{% endfor %}{% endfor %}",
            "more than 1,000,000 rounds",
        ),
        (
            "{% for a in messages[0].content recursive %}{{ loop(messages[0].content) if loop.depth < 4 }}{% endfor %}",
            "more than 1,000,000 rounds",
        ),
        (
            "{% macro two(n) %}{{ two(n - 1) ~ two(n - 1) if n }}{% endmacro %}{{ two(90) }}",
            "more than 1,000,000 rounds",
        ),
        (
            "{% for a in messages[0].content %}{{ messages[0].content * 900 }}{% endfor %}",
            "a text of 27",
        ),
        ("{{ ''.__class__.__mro__ }}", "is unsafe"),
    ],
    ids=[
        "loops",
        "length",
        "power",
        "large power",
        "characters",
        "left out",
        "recursive",
        "macro",
        "texts",
        "class",
    ],
)
def test_a_chat_template_that_costs_too_much_is_a_finding_and_costs_it_once(template: str, said: str):
    tokenizer = ChatTemplate(name_or_path="a", chat_template="{{ messages }}" + template)
    turns: Any = [{"role": "user", "content": "a" * 2000}, {"role": "assistant", "content": "b"}]
    for _ in range(100):
        [(rule, problem)] = problems({"messages": turns}, tokenizer)
        assert rule == "template"
        assert said in problem


def test_a_chat_template_whose_filters_take_long_is_a_finding():
    limit = Limit(first_s=0.3)
    text = "{% for a in messages %}{% set b = (a * 20_000) | list | sort | join | upper %}{% endfor %}"
    template = limited_environment(limit).from_string(text)
    limit.begin()
    with pytest.raises(OverflowError, match=r"it takes \d+\.\d s for a chat"):
        template.render(messages=["ab"] * 100_000)
    with pytest.raises(OverflowError, match="s for a chat"):
        limit.begin()
