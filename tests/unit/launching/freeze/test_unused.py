"""Copies of code in the cache that can be deleted, and those that a run still has."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.launching.freeze.keep import copy, keep
from launcher.launching.freeze.look import look
from launcher.launching.freeze.unpack import unpack
from launcher.launching.freeze.unused import remove_copies, unused_copies
from launcher.run.code import Code, Root, write_code


@pytest.fixture
def kept(tmp_path) -> Path:
    """An archive that a run dir got, unpacked beside it."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.py").write_text("x = 1\n")
    one = keep(work, look(work, (), (), ()), tmp_path / "cache" / "code", {})
    run = tmp_path / "runs" / "tiny" / "1"
    run.mkdir(parents=True)
    copy(one.archive, run / "code" / one.archive.name)
    unpack(str(one.folder), str(one.archive))
    return one.archive


def age(cache: Path) -> None:
    long_ago = time.time() - 10 * 86_400
    for path in cache.rglob("*"):
        os.utime(path, (long_ago, long_ago))


def unused(archive: Path, runs: Path) -> list[str]:
    age(archive.parent)
    return [one.name for one in unused_copies(archive.parent, runs)]


def test_a_copy_is_unused_once_its_run_dir_is_gone(tmp_path, kept):
    assert unused(kept, tmp_path / "runs") == []
    assert unused(kept, tmp_path / "other") == []  # the run is under another folder of runs
    shutil.rmtree(tmp_path / "runs")
    assert unused(kept, tmp_path / "runs") == [kept.stem]


def test_a_run_dir_on_another_file_system_counts_too(tmp_path, kept):
    own = tmp_path / "runs" / "tiny" / "1" / "code" / kept.name
    own.unlink()
    shutil.copyfile(kept, own)
    assert kept.stat().st_nlink == 1 and unused(kept, tmp_path / "other") == []


def test_a_run_whose_record_names_the_copy_counts_without_a_note(tmp_path, kept):
    shutil.rmtree(kept.parent / "uses")
    code = tmp_path / "runs" / "tiny" / "1" / "code"
    shutil.rmtree(code)
    root = Root(kind="work", source="/work", folder=str(kept.with_suffix("")), archive="/gone.tar")
    write_code(code.with_suffix(".json"), Code(roots=(root,)))
    assert unused(kept, tmp_path / "runs") == []
    assert unused(kept, tmp_path / "other") == [kept.stem]


def test_a_copy_of_today_may_belong_to_a_launch_that_goes_on(tmp_path, kept):
    shutil.rmtree(tmp_path / "runs")
    assert unused_copies(kept.parent, tmp_path / "runs") == []


def test_what_is_removed_is_kept_anew_by_the_next_launch(tmp_path, kept):
    shutil.rmtree(tmp_path / "runs")
    age(kept.parent)
    remove_copies(kept.parent, unused_copies(kept.parent, tmp_path / "runs"))
    assert not list(kept.parent.glob("[0-9a-f]*")) and not list((kept.parent / "index").iterdir())
    work = tmp_path / "work"
    assert keep(work, look(work, (), (), ()), kept.parent, {}).archive == kept and kept.is_file()


def test_the_command_asks_and_says_how_much_it_frees(tmp_path, kept, capsys):
    words = ["remove", "--code", "--cache-dir", str(tmp_path / "cache"), "--runs-dir", str(tmp_path / "runs")]
    assert main([*words, "--yes"]) == 0
    assert "nothing to remove: each copy of code" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "runs")
    age(kept.parent)
    assert main(words) == 2 and "1 copy of code in" in capsys.readouterr().err
    assert main([*words, "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["copies"] == [kept.stem] and told["bytes"] > 0 and not kept.exists()
