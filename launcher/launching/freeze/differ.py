"""What differs between the launch of a run and now, or between two runs."""

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.errors import DataError
from launcher.launching.freeze.roots import packages
from launcher.launching.freeze.unpack import changed_files
from launcher.launching.kept import states
from launcher.run.code import Code

_NAMED = 5
"""How many names a message lists at most."""


def present_differences(code: Code) -> list[str]:
    """Sentences about packages, Python and data that differ from those at the launch. The code itself is kept."""
    found: list[str] = []
    if code.packages:
        now = f"{platform.python_version()} {sys.executable}"
        found += [f"Python was {code.python} and is {now}"] if now != code.python else []
        found += _packages(code.packages, packages())
    else:
        found.append(f"its packages are those of {code.python}, which are not compared")
    return [*found, *_data(code.data)]


def code_differences(old: Code, new: Code, archives: Mapping[str, Path]) -> list[str]:
    """A sentence for each folder of code that differs between two runs. `archives` has those of the new one that are not yet
    in its run dir."""
    found: list[str] = []
    for root in new.roots:
        before = next((one for one in old.roots if (one.kind, one.source) == (root.kind, root.source)), None)
        if before is None or before.folder == root.folder or not (before.archive and root.archive):
            continue
        archive = archives.get(root.folder, Path(root.archive))
        if not Path(before.archive).is_file() or not archive.is_file():
            continue
        paths = changed_files(Path(before.archive), archive)
        found.append(f"{_count(len(paths), 'file')} of {root.source} changed ({_named(paths)})")
    return found


def _packages(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    changed = [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    return [f"{_count(len(changed), 'package')} changed ({_named(changed)})"] if changed else []


def _data(before: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for file, state in before.items():
        try:
            now = states([file])[file]
        except (DataError, OSError, KeyError):
            found.append(f"{file} is missing")
            continue
        if now != state:
            found.append(f"{file} changed (it had {state.partition(',')[0]} and has {now.partition(',')[0]})")
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
