"""Run dirs that somebody else wrote: what they say reaches no command line, and no verb that only reads imports anything."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from launcher.clusters.slurm.client import split
from launcher.errors import ClusterError
from launcher.hub import HubInputs, hides_token
from launcher.launching.hub_ask import token_of
from launcher.run import RunDir
from launcher.supervise.addresses import LOOPBACK, interface_addresses
from tests.security.broken import fill, plan_run, plan_sweep
from tests.security.calls import call, programs
from tests.support.paths import ROOT

OTHER = 65_533
"""A user id that is not this user's."""
HIDDEN = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> RunDir:
    return fill(plan_run(tmp_path_factory.mktemp("planned")))


@pytest.fixture
def run(planned, tmp_path) -> RunDir:
    """A run that has been submitted, in a folder of its own."""
    import shutil

    copy = tmp_path / "runs" / "tiny" / planned.path.name
    shutil.copytree(planned.path, copy)
    return RunDir(copy)


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    os.chown(path, OTHER, OTHER)


@pytest.mark.parametrize(
    "job_id",
    ["--me", "-u root", "77 78", "$(id)", "77\n78", "77;", "77;--me", "_1", "", "77_", "9" * 40, "ä"],
)
def test_what_is_no_job_id_reaches_no_program(run: RunDir, tmp_path, job_id: str):
    run.job.write_text(
        json.dumps({"cluster": "slurm", "job_id": job_id, "submitted": "2026-03-01T08:00:00+00:00"})
    )
    run.events.write_text("")
    with programs(tmp_path / "bin") as said:
        for verb in ("status", "cancel", "list", "logs"):
            called = call(
                [verb, *([] if verb == "list" else [str(run.path)]), "--runs-dir", str(tmp_path / "runs")]
            )
            assert not called.fault
        assert "scancel" not in said.read_text()
        assert "--me" not in said.read_text().replace("squeue --me", "")
    with pytest.raises(ClusterError, match="is not a job id of Slurm"):
        split(job_id)


@pytest.mark.parametrize(
    ("job_id", "words"), [("77", ["77"]), ("77_3", ["77_3"]), ("77;far", ["77", "--clusters", "far"])]
)
def test_a_job_id_of_slurm_is_one(job_id: str, words: list[str]):
    number, cluster = split(job_id)
    assert [number, *cluster] == words


@pytest.mark.parametrize("name", ["", " ", "."])
def test_a_name_of_nothing_cancels_nothing(run: RunDir, tmp_path, name: str):
    with programs(tmp_path / "bin") as said:
        called = call(["cancel", name, "--runs-dir", str(tmp_path / "runs")])
        assert "scancel" not in said.read_text()
    assert called.code == 1
    assert len(called.err.splitlines()) == 1


def plant(run: RunDir, folder: Path) -> Path:
    """A plugin that leaves a file when it is imported, in the run's configuration and on the path of imports."""
    left = folder / "imported"
    (folder / "planted_plugin.py").write_text(f"open({str(left)!r}, 'w').close()\nclass Planted: pass\n")
    config = yaml.safe_load(run.config.read_text())
    config["plugins"] = {"planted": {"_target_": "planted_plugin.Planted"}}
    run.config.write_text(yaml.safe_dump(config))
    plan = json.loads(run.plan.read_text())
    plan["device"] = "cuda"
    plan["facts"]["work_dir"] = str(folder)
    run.plan.write_text(json.dumps(plan))
    return left


def test_verbs_that_look_import_nothing_of_a_run(run: RunDir, tmp_path, monkeypatch):
    left = plant(run, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    runs = ["--runs-dir", str(tmp_path / "runs")]
    with programs(tmp_path / "bin"):
        for words in (
            ["status", str(run.path)],
            ["status", str(run.path), "--json"],
            ["list"],
            ["logs", str(run.path)],
            ["checkpoints", str(run.path)],
            ["report", str(run.path), "--out", str(tmp_path / "page.html")],
        ):
            called = call([*words, *runs])
            assert (called.code, left.exists()) == (0, False), (words, called.err)


@pytest.mark.parametrize(
    "words",
    [
        ["export"],
        ["evaluate", "--data", "x.jsonl"],
        ["chat", "--prompt", "x"],
        ["push", "--to", "a/b"],
        ["resume"],
        ["reproduce"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("whose", ["plan.json", "", "work_dir"], ids=["plan", "folder", "code"])
def test_a_verb_that_imports_the_code_of_another_user_asks_first(
    run: RunDir, tmp_path, words: list[str], whose: str
):
    plant(run, tmp_path / "work" if (tmp_path / "work").mkdir() is None else tmp_path)
    give_away(tmp_path / "work" if whose == "work_dir" else run.path / whose)
    with programs(tmp_path / "bin"):
        called = call([words[0], str(run.path), *words[1:]])
    assert called.code == 1
    assert "belongs to user 65533, and this command runs the run's code with your rights" in called.err
    assert not (tmp_path / "work" / "imported").exists()


def test_with_trust_the_run_of_another_user_is_used(run: RunDir, tmp_path):
    give_away(run.plan)
    with programs(tmp_path / "bin"):
        called = call(["resume", str(run.path), "trust_run=true", "dry_run=true"])
    assert (called.code, called.fault) == (0, ""), called.err
    assert "belongs to user 65533; its code runs with your rights" in called.err


def test_a_cancel_says_whose_run_it_is(run: RunDir, tmp_path):
    give_away(run.job)
    with programs(tmp_path / "bin"):
        called = call(["cancel", str(run.path)])
    assert "belongs to user 65533" in called.err


@pytest.fixture(scope="module")
def planned_sweep(tmp_path_factory) -> Path:
    """The runs folder of a sweep that was planned, which is copied and not changed."""
    return plan_sweep(tmp_path_factory.mktemp("swept") / "runs").parents[1]


@pytest.mark.parametrize("name", ["../../../out", "a; touch planted", "$(id)", "", [], "-rf", "a\nb"])
def test_the_best_trial_has_a_sane_name_or_none(tmp_path, planned_sweep: Path, name: object):
    shutil.copytree(planned_sweep, tmp_path / "runs", symlinks=True)
    (sweep,) = tmp_path.glob("runs/tiny/sweep_*")
    for number in range(6):
        config = sweep / str(number) / "config.yaml"
        config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "name": name}))
    called = call(["sweep", "best", str(sweep)])
    assert (called.code, called.fault) == (1, ""), called.err
    assert ("is not a run name" if isinstance(name, str) else "name: Cannot convert") in called.err
    assert list(tmp_path.rglob("experiment")) == []


@pytest.mark.parametrize(
    ("hub", "sent"),
    [
        ("http://mirror.example", ""),
        ("HTTP://mirror.example:80", ""),
        ("http://127.0.0.1:9", "t0ken"),
        ("https://hub.example", "t0ken"),
    ],
)
def test_a_token_is_never_sent_over_plain_http(hub: str, sent: str):
    assert token_of({"HF_TOKEN": "t0ken", "HF_ENDPOINT": hub}) == sent


@pytest.mark.parametrize(
    ("hub", "hidden"),
    [
        ("http://mirror.example", True),
        ("HTTP://[bad", True),
        ("http://localhost:9", False),
        ("https://hub.example", False),
        ("", False),
    ],
)
def test_the_hubs_library_sends_no_token_of_its_own_over_plain_http(hub: str, hidden: bool):
    assert hides_token({"HF_ENDPOINT": hub}) == (HIDDEN if hidden else {})


def test_a_fetch_over_plain_http_sends_no_token(tmp_path):
    """The hub is at an address of this machine that is not its loopback, as a mirror of a site is."""
    address = next(
        (one for name, own in interface_addresses().items() if name != LOOPBACK for one in own if "." in one),
        None,
    )
    if address is None:
        pytest.skip("this machine has no network")
    heard: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            heard.append(str(self.headers))
            self.send_error(404)

        do_GET = do_HEAD

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Listening) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_TOKEN": "hf_secret_of_mine",
            "HF_ENDPOINT": f"http://{address}:{server.server_port}",
        }  # fmt: skip
        wanted = HubInputs(model="some/model", revision="main", gguf_file=None, code=False, data=()).to_json()
        subprocess.run(
            [sys.executable, "-m", "launcher.train.fetch", wanted], env=environment, cwd=ROOT, capture_output=True, timeout=120
        )  # fmt: skip
        server.shutdown()
    assert len(heard) >= 2  # the look whether it answers, and the library's own
    assert "hf_secret" not in "".join(heard)


@pytest.mark.parametrize(
    "how", ["open to all", "open to a group", "of another", "of another, above", "sticky", "one's own"]
)
def test_a_launch_warns_in_one_line_of_who_else_can_replace_its_run_dir(tmp_path, how: str):
    above = tmp_path / "above"
    runs = above / "runs"
    runs.mkdir(parents=True)
    if how.startswith("of another"):
        give_away(above if "above" in how else runs)
    elif how == "open to a group":
        if os.geteuid() != 0:
            pytest.skip("only root can give files to another group")
        os.chown(runs, -1, OTHER)
        runs.chmod(0o775)
    else:
        runs.chmod({"open to all": 0o777, "sticky": 0o1777, "one's own": 0o755}[how])
    called = call(
        ["+experiment=tiny", "cluster=local", "dry_run=true", "freeze=false", "--json", f"runs_dir={runs}"]
    )
    warned = [line for line in called.err.splitlines() if "replace the files of this run" in line]
    assert len(warned) == (how not in ("sticky", "one's own")), called.err
    assert all(f"warning: runs_dir={runs}: " in line and "choose a runs_dir below" in line for line in warned)
    told = json.loads(called.out)
    assert len([one for one in told["warnings"] if "replace the files" in one]) == len(warned)
    for verb in ("status", "logs", "report"):
        assert "replace the files" not in call([verb, told["run_dir"]]).err
