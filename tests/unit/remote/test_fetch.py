"""Results that are brought from a cluster: whole, resumable, and never over something newer."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import ClusterError, RunError
from launcher.remote.fetch import bring
from launcher.run.remote import RemoteRun, RunElsewhere, write_remote
from tests.support.sshd import Login


@dataclass(frozen=True)
class Pair:
    """A run there, and the folder that stands for it here."""

    there: Path
    here: Path
    login: Login

    def bring(self, checkpoints: bool = False):
        remote = RemoteRun(
            ssh="login", python="python3", base="/none", path=(), run="tiny/1", run_dir=str(self.there)
        )
        return bring(RunElsewhere(self.here, remote), checkpoints=checkpoints)


@pytest.fixture
def pair(login, laptop, tmp_path):
    there, here = login.home / f"it's {tmp_path.name}", tmp_path / "runs" / "tiny" / "1"
    texts = {
        "plan.json": "{}",
        "metrics.jsonl": "1\n2\n",
        "model/adapter it's.bin": "weights",
        "logs/a/n1.log": "said",
        "checkpoints/step_1/state": "large",
        "code/1.tar": "code",
        ".hidden": "no",
    }
    for name, text in texts.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(text)
    write_remote(
        here,
        RemoteRun(ssh="login", python="python3", base="/none", path=(), run="tiny/1", run_dir=str(there)),
    )
    return Pair(there, here, login)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"remote.json"}


RESULTS = {"plan.json", "metrics.jsonl", "model/adapter it's.bin", "logs/a/n1.log"}


def test_results_come_without_checkpoints_and_once(pair):
    told = pair.bring()
    assert files(pair.here) == RESULTS and told["files"] == 4 and told["kept"] == []
    assert (pair.here / "model" / "adapter it's.bin").read_text() == "weights"
    assert pair.bring()["files"] == 0
    assert pair.bring(checkpoints=True)["files"] == 2
    assert (pair.here / "checkpoints" / "step_1" / "state").read_text() == "large"


def test_what_has_grown_there_comes_again_and_what_is_newer_here_stays(pair):
    pair.bring()
    (pair.there / "metrics.jsonl").write_text("1\n2\n3\n")
    (pair.here / "plan.json").write_text("my own note")
    told = pair.bring()
    assert told["files"] == 1 and told["kept"] == ["plan.json"]
    assert (pair.here / "metrics.jsonl").read_text() == "1\n2\n3\n"
    assert (pair.here / "plan.json").read_text() == "my own note"


def test_a_transfer_that_was_cut_continues_and_a_damaged_part_is_found(pair):
    file = pair.there / "metrics.jsonl"
    part = pair.here / f".metrics.jsonl.{file.stat().st_mtime_ns}-{file.stat().st_size}.part"
    part.write_text("9\n")
    with pytest.raises(ClusterError, match=r"metrics\.jsonl changed while it was fetched; repeat"):
        pair.bring()
    part.write_text("1\n")
    (pair.here / ".metrics.jsonl.1-9.part").write_text("of an older version")
    pair.bring()
    assert file.read_text() == (pair.here / "metrics.jsonl").read_text() and files(pair.here) == RESULTS


def test_a_link_here_is_not_followed(pair, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (pair.here / "plan.json").symlink_to(tmp_path / "precious")
    assert pair.bring()["kept"] == ["plan.json"] and (tmp_path / "precious").read_text() == "mine"


def test_a_run_that_was_removed_there_is_said(pair):
    pair.there.rename(f"{pair.there} moved")
    with pytest.raises(ClusterError, match="the run dir no longer exists"):
        pair.bring()


def test_a_cluster_cannot_write_outside_of_the_folder(pair):
    pair.login.program(
        "liar",
        """printf '\\x1e launcher \\x1e\\n{"files": [["../../escaped", 1, 1]]}\\n'; cat > /dev/null""",
    )
    remote = RemoteRun(ssh="login", python="liar", base="/", path=(), run="tiny/1", run_dir="/")
    with pytest.raises(RunError, match="is not a path in a run dir; nothing was fetched"):
        bring(RunElsewhere(pair.here, remote), checkpoints=False)


def test_the_verb_fetches_by_name_and_keeps_its_other_meaning(pair, laptop, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["fetch", "tiny"]) == 0
    assert "tiny/1: 4 new files" in capfd.readouterr().out
    assert main(["fetch", "tiny", "seed=1"]) == 2
    assert main(["fetch", "no_such_run"]) == 1
    assert "no_such_run" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
