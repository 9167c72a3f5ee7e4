"""Who else can replace a run dir: whoever may rename what is in one of the folders above it puts files of their own there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from launcher.config import Config

_UNKNOWN = 65_534
"""The user to whom a file belongs whose owner this machine cannot tell, such as root's in a container, or on NFS for root."""


def replaceable(config: Config) -> list[str]:
    """A warning if another user than root can replace the run dir; empty otherwise. Folders that do not exist yet will be
    one's own."""
    folder = Path(config.runs_dir).absolute() / config.name
    paths = {one: None for path in (folder, folder.resolve()) for one in (path, *path.parents)}
    found = next((who for path in paths for who in _writers(path)), None)
    if found is None:
        return []
    return [
        f"runs_dir={config.runs_dir}: {found} and so can replace the files of this run, from which code runs with your rights; "
        "choose a runs_dir below a folder of your own"
    ]


def _writers(path: Path) -> Iterator[str]:
    """Whoever can rename what is in a folder, besides this user and root."""
    try:
        status = path.stat()
    except OSError:
        return
    if status.st_uid not in (os.geteuid(), 0, _UNKNOWN):
        from launcher.run.owner import name_of  # imported here: most folders are one's own or root's

        yield f"{path} belongs to {name_of(status.st_uid)}, who can write there,"
    if status.st_mode & stat.S_ISVTX:  # as in /tmp: each user renames only what is their own
        return
    if status.st_mode & stat.S_IWOTH:
        yield f"every user can write in {path},"
    elif status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid, status.st_uid):
        yield f"the members of a group can write in {path},"


def _is_private(group: int, user: int) -> bool:
    """Whether a group is that of one user, as many systems give one to each; root's is root's."""
    import grp  # imported here, as below: most folders are writable by their owner alone
    import pwd

    if group == 0:
        return True
    try:
        found, owner = grp.getgrgid(group), pwd.getpwuid(user)
    except KeyError:
        return False
    return found.gr_name == owner.pw_name and set(found.gr_mem) <= {owner.pw_name}
