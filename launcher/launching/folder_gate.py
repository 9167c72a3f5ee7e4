"""Whether the folders that a run writes can be made, as far as this machine can tell: runs_dir, cache_dir, cluster.node_cache.

The ranks write to them for the first time on a node, after the queue. Nothing is written here.
"""

import os
from pathlib import Path

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import ConfigError
from launcher.file_systems import OF_THE_KERNEL, file_system
from launcher.plan import Facts

_TOKENS = "tokens"
"""Folder of cache_dir that holds the tokens of earlier runs."""


def check_folders(config: Config, facts: Facts) -> None:
    """ConfigError for a folder that cannot be made, or that lies on a file system of the kernel.

    On a queue's cluster, a folder whose first existing parent is / may be a mount that only the nodes have: it is not judged.
    """
    here = find_cluster(facts.cluster).one_machine
    _check("runs_dir", Path(facts.run_dir), here=here, shown=Path(config.runs_dir).absolute())
    _check("cache_dir", Path(facts.cache_dir), here=here)
    own_disk = config.cluster.node_cache
    if own_disk is None or "$" in own_disk:  # the nodes know the variable
        return
    _check_kind("cluster.node_cache", Path(own_disk))
    if here and not Path(own_disk).is_dir():
        raise ConfigError(
            f"cluster.node_cache={own_disk} is not a folder of this machine; name one that exists, such as /tmp, or null"
        )


def _check(key: str, folder: Path, *, here: bool, shown: Path | None = None) -> None:
    """Judges the folder by its nearest parent that exists; `shown` is the key's value if the folder lies below it."""
    shown = shown or folder
    there = next(path for path in (folder, *folder.parents) if _exists(path) or path == path.parent)
    if there == there.parent and not here:
        return
    _check_kind(key, shown)
    if not there.is_dir():
        what = "is" if there == shown else f"cannot be made, because {there} is"
        raise ConfigError(f"{key}={shown} {what} a file; choose another folder")
    # a cache that somebody else has filled may be read-only
    filled = there == folder and (folder / _TOKENS).is_dir()
    if not filled and not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written" if there == shown else f"cannot be made, because {there} cannot be written"
        raise ConfigError(f"{key}={shown} {what} by you; choose another folder, of your own")


def _exists(path: Path) -> bool:
    """Whether it is there for this user: Path.exists raises below a folder that may not be entered."""
    return os.access(path, os.F_OK)


def _check_kind(key: str, folder: Path) -> None:
    kind = file_system(folder)
    if kind in OF_THE_KERNEL:
        raise ConfigError(
            f"{key}={folder} is on {kind}, a file system of the kernel that keeps no files; choose another folder, on a disk"
        )
