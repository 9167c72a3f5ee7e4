"""Faults of hosts over all runs of this user, one line each in the state folder, so that the next run knows them."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from launcher.errors import RunError
from launcher.output import say
from launcher.run import append_line, read_lines
from launcher.run.kinds import fits

RECENT_S = 86_400.0
"""Seconds for which a fault counts: a repaired host must not be avoided forever."""
_LINE = {"time": float, "host": str}
"""The types of a line's fields."""
SUSPECT = 2
"""Faults after which a host is used only if there is no other. One that was confirmed to be slow counts as a suspect
at once."""


def record_path() -> Path:
    """hosts.jsonl in $XDG_STATE_HOME/launcher, or in ~/.local/state/launcher."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "launcher" / "hosts.jsonl"


def note_faults(hosts: Iterable[str], what: str, run: str) -> None:
    """Writes one line per host; says so if the file cannot be written."""
    named = list(hosts)
    try:
        path = record_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        for host in named:
            append_line(path, {"time": time.time(), "host": host, "what": what, "run": run})
    except (OSError, RuntimeError, RunError) as error:
        say(
            f"other runs will not know the faults of {', '.join(named)}, because they cannot be recorded ({error})"
        )


def recent_suspects() -> Mapping[str, int]:
    """Host -> its faults of the last day, for hosts with at least SUSPECT faults."""
    since = time.time() - RECENT_S
    faults: dict[str, int] = {}
    with contextlib.suppress(OSError, RuntimeError, RunError):
        for line in read_lines(record_path()):
            if fits(line, _LINE) and _LINE.keys() <= line.keys() and line["time"] > since:
                weight = SUSPECT if line.get("what") == "slow" else 1
                faults[str(line["host"])] = faults.get(str(line["host"]), 0) + weight
    return {host: count for host, count in faults.items() if count >= SUSPECT}
