"""What was sent to a cluster and no run there needs any more."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.errors import RunError
from launcher.remote.unused import KEPT_S, SETTLED_S, find_unneeded, remove_after_launch, remove_unneeded

LONG_AGO = time.time() - 30 * 86_400


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("files", "code", "data", "answers"):
        (tmp_path / "sent" / name).mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    return tmp_path


@pytest.fixture
def sent(base: Path) -> Callable[..., Path]:
    """A folder that was sent long ago, and the file of which it is another name."""

    def sent(name: str, size: int = 1000) -> Path:
        blob, folder = base / "sent" / "files" / (name[-1] * 64), base / "sent" / name
        blob.write_bytes(b"x" * size)
        folder.mkdir()
        os.link(blob, folder / "train.jsonl")
        age(blob, folder)
        return folder

    return sent


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


def named(kind: str, letter: str) -> str:
    return f"{kind}/{letter * 40}"


@pytest.mark.parametrize("file", ["config.yaml", "plan.json", "code.json", "job.sbatch", "sweep.json"])
@pytest.mark.parametrize("run", ["tiny/2026-01-01_00-00-00", "tiny/sweep_2026-01-01_00-00-00/3"])
def test_what_a_run_names_stays_and_all_else_goes(base: Path, sent, file: str, run: str):
    kept, gone = sent(named("data", "a")), sent(named("data", "b"))
    (base / "runs" / run).mkdir(parents=True)
    (base / "runs" / run / file).write_text(f"x: {kept}/train.jsonl\n")
    found = find_unneeded(base, KEPT_S)
    assert (found.folders, found.files, found.bytes) == (
        (gone,),
        (base / "sent" / "files" / ("b" * 64),),
        1000,
    )
    assert remove_unneeded(found, KEPT_S) == {"folders": 1, "files": 1, "bytes": 1000}
    assert [path.name for path in sorted((base / "sent").glob("*/*"))] == ["a" * 40, "a" * 64]
    assert (kept / "train.jsonl").read_bytes() == b"x" * 1000


def test_what_a_launch_was_given_stays_as_long_as_its_run(base: Path, sent):
    folder = sent(named("code", "a"))
    run = base / "runs" / "tiny" / "2026-01-01_00-00-00"
    run.mkdir(parents=True)
    answer, request = (
        base / "sent" / "answers" / ("f" * 40),
        base / "sent" / "answers" / f"{'f' * 40}.request.json",
    )
    answer.write_text(json.dumps({"run": "tiny/2026-01-01_00-00-00", "run_dir": str(run)}))
    request.write_text(json.dumps({"path": [str(folder)], "words": [], "folder": str(folder)}))
    age(answer, request)
    assert find_unneeded(base, KEPT_S).folders == ()
    shutil.rmtree(run)
    found = find_unneeded(base, KEPT_S)
    assert found.folders == (folder,) and set(found.files) >= {answer, request}


def test_what_was_used_a_short_time_ago_stays_and_what_was_made_in_part_goes(base: Path, sent):
    recent, part = sent(named("data", "a")), sent("data/." + "b" * 40 + ".host.7")
    os.utime(recent)
    assert find_unneeded(base, KEPT_S).folders == (part,)
    os.utime(part)
    two_days_ago = time.time() - 2 * 86_400
    os.utime(recent, (two_days_ago, two_days_ago))
    assert find_unneeded(base, KEPT_S).folders == ()
    assert find_unneeded(base, SETTLED_S).folders == find_unneeded(base, 0).folders == (recent,)


def test_a_file_that_is_still_arriving_stays_and_one_that_was_given_up_goes(base: Path):
    parts = [base / "sent" / "files" / f"{letter * 64}.part" for letter in "ab"]
    for part in parts:
        part.write_bytes(b"x" * 10)
    age(parts[1])
    found = find_unneeded(base, KEPT_S)
    assert (found.files, found.bytes) == ((parts[1],), 10)


def test_a_folder_that_a_launch_uses_meanwhile_is_put_back(base: Path, sent):
    folder = sent(named("data", "a"))
    found = find_unneeded(base, KEPT_S)
    os.utime(folder)
    assert remove_unneeded(found, KEPT_S)["folders"] == 0
    assert (folder / "train.jsonl").is_file() and [one.name for one in folder.parent.iterdir()] == [
        folder.name
    ]


def test_nothing_is_removed_where_a_run_cannot_be_read(base: Path, sent):
    sent(named("data", "a"))
    run = base / "runs" / "tiny" / "2026-01-01_00-00-00"
    (run / "plan.json").mkdir(parents=True)  # root could read any file
    with pytest.raises(RunError, match=r"plan\.json: Is a directory; nothing of .*sent is removed"):
        find_unneeded(base, KEPT_S)


def test_a_launch_looks_once_a_day_and_says_what_it_has_removed(base: Path, sent, capsys):
    folder = sent(named("data", "a"))
    remove_after_launch(base)
    assert not folder.exists()
    assert "removed 1 folder and 1 file, 1000 B" in capsys.readouterr().err
    sent(named("data", "b"))
    remove_after_launch(base)
    assert (base / "sent" / named("data", "b")).exists() and capsys.readouterr().err == ""
    age(base / "sent" / "looked_through")
    remove_after_launch(base)
    assert not (base / "sent" / named("data", "b")).exists()
