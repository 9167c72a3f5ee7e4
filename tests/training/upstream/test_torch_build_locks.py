"""A lock that a killed build has left behind, with the patch and without it."""

import os
import threading
import time

import pytest
from torch.utils.file_baton import FileBaton

from launcher.train.upstream.torch_build_locks import STALE_S, remove_stale_locks

pytestmark = pytest.mark.train


@pytest.fixture
def lock(tmp_path):
    """A lock whose process is dead, in the folder of one extension."""
    file = tmp_path / "fused" / "lock"
    file.parent.mkdir()
    file.touch()
    os.utime(file, (time.time() - 2 * STALE_S,) * 2)
    return file


def test_torch_waits_for_the_lock_of_a_dead_process(lock):
    waiting = threading.Thread(target=FileBaton(str(lock), wait_seconds=0.01).wait, daemon=True)
    waiting.start()
    waiting.join(1.0)
    assert waiting.is_alive()
    lock.unlink()
    waiting.join(10.0)
    assert not waiting.is_alive()


def test_a_stale_lock_is_removed_and_reported(lock, tmp_path, capsys):
    remove_stale_locks(tmp_path, STALE_S)
    assert not lock.exists()
    assert f"removed {lock}" in capsys.readouterr().out
