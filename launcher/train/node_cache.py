"""Copies of model and tokens on each node's own disk (cluster.node_cache): one process of a node copies, the others wait."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from launcher.errors import ConfigError
from launcher.run import RunDir
from launcher.run.events.ranks import CopiedToNode
from launcher.run.locks import try_lock
from launcher.train.heartbeat import Heartbeat
from launcher.units import GIB

_SPARE = 1 << 30
"""Bytes that a copy leaves free."""
_PIECE = 16 << 20
_THREADS = 4
_POLL_S = 0.2
_OTHER_FORMATS = (".bin", ".pth", ".pt", ".h5", ".msgpack", ".gguf", ".onnx")
"""Other formats of the weights, which are not read if there are safetensors files."""


class NodeCache:
    """The copies of one node. A rank keeps a shared lock on each copy that it uses, so that no process removes it meanwhile."""

    def __init__(self, named: str, run: RunDir, attempt: int, heartbeat: Heartbeat) -> None:
        """ConfigError if the folder is missing on this node, or cannot be written. Variables in its name are this node's."""
        base = Path(os.path.expandvars(named)).expanduser()
        self.named, self.host = named, socket.gethostname()
        if not base.is_dir():
            where = "" if str(base) == named else f" ({base})"
            raise ConfigError(
                f"cluster.node_cache={named}{where} is not a folder on {self.host}; name one that each node has, such as /tmp, "
                "or leave it out"
            )
        self.folder = base / f"launcher_{os.getuid()}"
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cluster.node_cache={named} cannot be written on {self.host} ({error.strerror}); name another folder"
            ) from None
        status = self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise ConfigError(
                f"cluster.node_cache={named}: {self.folder} on {self.host} must be a folder of yours in which nobody else can "
                "write, and it is not, so its content cannot be trusted; remove it, or name another folder"
            )
        self.run, self.attempt, self.heartbeat = run, attempt, heartbeat
        self._used: list[IO[bytes]] = []

    def copy_of(self, source: Path, what: str) -> Path:
        """The copy of a folder's files; the first process that asks makes it. ConfigError if there is no room for it."""
        files = {path.name: path for path in sorted(source.iterdir()) if path.is_file()}
        if what == "model" and any(name.endswith(".safetensors") for name in files):
            files = {
                name: path
                for name, path in files.items()
                if Path(name).suffix not in _OTHER_FORMATS and not name.endswith(".bin.index.json")
            }
        sizes = {name: path.stat().st_size for name, path in files.items()}
        times = {name: path.stat().st_mtime_ns for name, path in files.items()}
        words = json.dumps([str(source.resolve()), sizes, times], sort_keys=True)
        copy = self.folder / f"{what}-{hashlib.sha256(words.encode()).hexdigest()[:24]}"
        lock = copy.with_suffix(".lock").open("ab")
        temporary = copy.with_suffix(".part")
        while not _is_whole(copy, sizes):
            if not try_lock(lock):
                self._wait(temporary)
                continue
            if not _is_whole(copy, sizes):  # no other process was faster
                self._make(files, sizes, temporary, copy, what)
        fcntl.flock(lock, fcntl.LOCK_SH)
        self._used.append(lock)
        os.utime(copy)
        self.heartbeat.phase("load", 0)
        return copy

    def _wait(self, temporary: Path) -> None:
        """Reports the progress of the copy, and waits for a moment."""
        self.heartbeat.phase("load", sum(_sizes(temporary)) >> 20)
        time.sleep(_POLL_S)

    def _make(
        self, files: dict[str, Path], sizes: dict[str, int], temporary: Path, copy: Path, what: str
    ) -> None:
        begun = time.monotonic()
        shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
        shutil.rmtree(copy, ignore_errors=True)
        self._make_room(sum(sizes.values()), what)
        try:
            temporary.mkdir()
            with ThreadPoolExecutor(_THREADS) as pool:
                done = [pool.submit(_copy, path, temporary / name) for name, path in files.items()]
                while not all(one.done() for one in done):
                    self._wait(temporary)
                for one in done:
                    one.result()
            temporary.rename(copy)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise ConfigError(
                f"cluster.node_cache={self.named}: the {what} cannot be copied on {self.host} ({error.strerror}); name another "
                "folder, or leave it out"
            ) from None
        gib, seconds = round(sum(sizes.values()) / GIB, 3), round(time.monotonic() - begun, 2)
        self.run.note(
            CopiedToNode(
                attempt=self.attempt, host=self.host, what=what, gib=gib, seconds=seconds, folder=str(copy)
            )
        )

    def _make_room(self, needed: int, what: str) -> None:
        """Removes unused copies, the oldest first, until there is room."""
        unused = sorted(
            (path for path in self.folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        for path in unused:
            if shutil.disk_usage(self.folder).free >= needed + _SPARE:
                return
            with contextlib.suppress(OSError), path.with_suffix(".lock").open("ab") as lock:
                if try_lock(lock):
                    shutil.rmtree(path, ignore_errors=True)
        free = shutil.disk_usage(self.folder).free
        if free < needed + _SPARE:
            raise ConfigError(
                f"cluster.node_cache={self.named} has {free / 1e9:.1f} GB free on {self.host}, and the {what} needs "
                f"{(needed + _SPARE) / 1e9:.1f} GB; name a larger folder, or leave it out"
            )


def near(cache: NodeCache | None, what: str) -> Callable[[Path], Path]:
    """Folder -> its copy on this node, or the folder itself without a cache."""
    return (lambda folder: folder) if cache is None else (lambda folder: cache.copy_of(folder, what))


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _PIECE)


def _is_whole(copy: Path, sizes: dict[str, int]) -> bool:
    """Whether the copy exists with all its files. It is renamed once complete, but a loss of power can truncate files."""
    try:
        return all((copy / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _sizes(folder: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                yield path.stat().st_size
