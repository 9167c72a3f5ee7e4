"""Who owns a run: a verb names another user's run as such, and imports its code only if it is told to trust that user."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from launcher.errors import RunError
from launcher.output import warn
from launcher.run.code import read_code
from launcher.run.dir import RunDir

TRUST = "--trust-run"
"""The option of a verb that imports a run's code."""
TRUST_KEY = "trust_run=true"
"""The same for verbs that take keys."""


def other_owner(paths: Iterable[Path]) -> tuple[Path, str] | None:
    """The first of these paths that belongs to another user, with that user's name; root's files are trusted."""
    for path in paths:
        try:
            uid = path.lstat().st_uid
        except OSError:
            continue
        if uid not in (os.geteuid(), 0):
            return path, name_of(uid)
    return None


def owner_of_run(run: RunDir) -> str | None:
    """The other user who owns the run dir or one of the files that describe the run; None if they are one's own."""
    found = other_owner([run.path, run.plan, run.config, run.overrides, run.job, run.events, run.code])
    return found[1] if found else None


def say_owner(run: RunDir) -> None:
    """Warns if the run belongs to another user."""
    if owner := owner_of_run(run):
        warn(f"{run.path} belongs to {owner}, who can have written anything into its files")


def check_trusted(run: RunDir, trusted: bool, way_out: str = TRUST) -> None:
    """RunError if the run or its code belongs to another user, unless it is trusted: the verb would import the code."""
    places = [run.path, run.plan, run.config, run.overrides, run.code, run.code_archives, *_code_of(run)]
    check_places(places, trusted, way_out)


def check_places(places: Iterable[Path], trusted: bool, way_out: str = TRUST) -> None:
    """The same as check_trusted, for the files and folders that decide which code is imported."""
    found = other_owner(places)
    if found is None:
        return
    path, owner = found
    if not trusted:
        raise RunError(
            f"{path} belongs to {owner}, and this command runs the run's code with your rights; if you trust {owner}, add "
            f"{way_out}"
        )
    warn(f"{path} belongs to {owner}; its code runs with your rights")


def _code_of(run: RunDir) -> list[Path]:
    """The folders from which the run's code is imported."""
    plan = run.read_json(run.plan)
    facts = plan.get("facts")
    work_dir: Any = cast("dict[str, Any]", facts).get("work_dir") if isinstance(facts, dict) else None
    code = read_code(run.code)
    folders: list[Any] = [work_dir, *(root.folder for root in code.roots)] if code else [work_dir]
    return [Path(folder) for folder in folders if folder and isinstance(folder, str)]


def name_of(uid: int) -> str:
    """The name of a user."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
