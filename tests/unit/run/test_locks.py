"""Locks of files, and files that one process alone creates."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from launcher.run.locks import create_new, link_or_copy, lock_within, try_lock

HOLD = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"


def test_a_lock_is_had_by_one_process_until_it_ends(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with path.open() as file:
        assert not try_lock(file)
        begun = time.monotonic()
        assert not lock_within(file, 0.3)
        assert time.monotonic() - begun >= 0.3
        holder.kill()
        assert lock_within(file, 10)
    holder.communicate()


def test_one_of_many_creates_a_file_and_its_content_is_whole(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create_new(tmp_path / "claim", f"{number}\n" * 999), range(8)))
    assert made.count(True) == 1
    assert (tmp_path / "claim").read_text() == f"{made.index(True)}\n" * 999
    assert [path.name for path in tmp_path.iterdir()] == ["claim"]


def test_a_second_name_has_the_same_content_and_an_existing_file_is_left(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("x")
    link_or_copy(source, target)
    assert target.read_text() == "x"
    target.unlink()
    target.write_text("y")
    link_or_copy(source, target)
    assert target.read_text() == "y"
