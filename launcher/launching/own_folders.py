"""The folders of the launcher itself, each listed once.

A launch needs the state of their files twice: for the key under which a data check is remembered, and for the copy of the code
that a queued run keeps.

What this process found first counts for as long as it lives, because that is the code which it runs.
"""

import functools
import os


@functools.cache
def own_entries(folder: bytes) -> "tuple[os.DirEntry[bytes], ...]":
    """What is in a folder of the launcher; OSError if it cannot be listed. An entry asks for the state of its file once."""
    with os.scandir(folder) as found:
        return tuple(found)
