"""Locks of open files, and files that only one of several processes can create.

filelock is not used: on a file system without locks it fails or needs a second file for each file. A lock that must also work
there, and shows that its holder lives, is launcher.train.data.build_lock.
"""

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any

from launcher.run.lines import write_text

_EVERY_S = 0.1


def try_lock(file: IO[Any]) -> bool:
    """Whether this process has the only lock of an open file from now on; False if another one has it.

    The lock ends when the file is closed, also by the end of the process. OSError on a file system without locks.
    Source: flock(2).
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(file: IO[Any], seconds: float) -> bool:
    """As try_lock, but it waits for the lock for at most `seconds`."""
    deadline = time.monotonic() + seconds
    while not try_lock(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(_EVERY_S)
    return True


def create_new(path: Path, text: str) -> bool:
    """Whether this process has created the file, complete and on the disk; False if it exists.

    Of several processes, also on other hosts, exactly one succeeds: link(2) fails for a name that exists, on NFS too.
    """
    own = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    write_text(own, text, durable=True)
    try:
        os.link(own, path)
    except FileExistsError:
        return own.samefile(path)  # NFS repeats a link whose answer was lost
    finally:
        own.unlink(missing_ok=True)
    return True


def link_or_copy(source: Path, target: Path) -> None:
    """Gives the content of `source` a second name, or copies it where the file system has no links; a target that exists is
    left as it is."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
