"""The files of a run dir."""

import re
import subprocess
import sys

import pytest

from launcher.config import read_config
from launcher.errors import RunError
from launcher.run import RunDir
from launcher.run.events.ranks import Crashed
from tests.support.paths import ROOT
from tests.support.runs import command, environment


def test_an_event_after_a_torn_line_is_not_lost(tmp_path):
    run = RunDir(tmp_path)
    run.add_event("planned", attempt=0)
    with run.events.open("a") as events:
        events.write('{"event": "star')
    run.add_event("started", attempt=1)
    assert [event.kind for event in run.read_events()] == ["planned", "started"]


def test_an_event_may_hold_any_line_end_of_unicode(tmp_path):
    run = RunDir(tmp_path)
    run.note(Crashed(attempt=1, host="n1", rank=0, error="a\u2028b\u0085c\nd"))
    assert run.read_events(Crashed)[0].error == "a\u2028b\u0085c\nd"


def test_a_run_that_was_stopped_says_why(tmp_path):
    run = RunDir(tmp_path)
    run.add_end(1, 137)
    run.add_event("crashed", attempt=2, rank=3, host="n7", error="no such file")
    run.add_end(2, 3)
    run.add_end(3, 0)
    first, _, second, last = run.read_events()
    assert "SIGKILL" in first.reason
    assert second.reason == "rank 3 on n7: no such file"
    assert last.kind == "finished"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("model: {max_lenght: 3}", "model.max_lenght is not a key of this version; the nearest key is max_length"),
        ("zzzz: 3", "zzzz is not a key of this version; fix it"),
        ("model: {max_length: long}", "model.max_length: Value 'long' of type 'str' could not be converted to Integer"),
        ("model: [", "is not YAML"),
        (None, "cannot be read (No such file or directory)"),
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_this_versions_is_one_line_with_file_and_key(tmp_path, written, told):
    run = RunDir(tmp_path)
    if written is not None:
        run.config.write_text(written)
    with pytest.raises(RunError, match=re.escape(told)) as raised:
        read_config(str(run.config))
    assert str(raised.value).startswith(str(run.config)) and "\n" not in str(raised.value)


def test_stale_and_the_supervisor_refuse_a_configuration_with_another_versions_key_in_one_line(tmp_path, cli):
    done = cli("+experiment=tiny", "dry_run=true")
    assert done.returncode == 0, done.stderr
    (config,) = tmp_path.glob("runs/*/*/config.yaml")
    config.write_text(config.read_text() + "gone: 1\n")
    supervisor = [sys.executable, "-m", "launcher.supervise", str(config.parent)]
    for arguments in (command("stale", str(config.parent)), supervisor):
        done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert f"{config}: gone is not a key of this version" in done.stderr


@pytest.mark.parametrize("text", ["[]", "null", "3"])
def test_a_file_of_a_run_that_holds_no_json_object_is_an_error(tmp_path, text):
    run = RunDir(tmp_path)
    run.plan.write_text(text)
    with pytest.raises(RunError, match=r"plan\.json holds a JSON .* instead of an object"):
        run.read_json(run.plan)
