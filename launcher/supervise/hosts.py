"""Faults of hosts over all runs of this user: a line each in the state folder, so that the next run need not find out again."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from launcher.run import append_line, read_lines

RECENT_S = 86_400.0
"""A host that was repaired must not be avoided for ever."""
SUSPECT = 2
"""Faults after which a host is used only where there is no other. A slow host counts so at once."""


def record_path() -> Path:
    """hosts.jsonl in $XDG_STATE_HOME/launcher, or in ~/.local/state/launcher."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "launcher" / "hosts.jsonl"


def note_faults(hosts: Iterable[str], what: str, run: str) -> None:
    """A line for each; none where the folder cannot be written."""
    with contextlib.suppress(OSError, RuntimeError):
        path = record_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        for host in hosts:
            append_line(path, {"time": time.time(), "host": host, "what": what, "run": run})


def recent_suspects() -> Mapping[str, int]:
    """Host -> its faults of the last day, of those that have enough of them."""
    since = time.time() - RECENT_S
    faults: dict[str, int] = {}
    with contextlib.suppress(OSError, RuntimeError):
        for line in read_lines(record_path()):
            if float(line.get("time", 0)) > since:
                weight = SUSPECT if line.get("what") == "slow" else 1
                faults[str(line["host"])] = faults.get(str(line["host"]), 0) + weight
    return {host: count for host, count in faults.items() if count >= SUSPECT}
