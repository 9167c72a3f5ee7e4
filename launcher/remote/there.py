"""What runs on the login node: its source is sent over the connection, so nothing has to be installed there.

It needs only Python's standard library. It compiles also on versions that are too old for the launcher, so that it can report
that. It reads one request: a line of JSON, then bytes. It answers with lines of JSON, some of which are followed by bytes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import runpy
import shutil
import signal
import socket
import sys
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

GREETING = b"\x1e launcher \x1e\n"
"""This line precedes all answers, because a shell's profile can print text before them."""
_OLDEST = (3, 10)
_NEEDED = {
    "hydra": "hydra-core",
    "omegaconf": "omegaconf",
    "jinja2": "jinja2",
    "yaml": "pyyaml",
    "rich": "rich",
    "numpy": "numpy",
}
_PIECE = 1 << 20
_LOCK_TRIES, _LOCK_EVERY_S, _NOTED_S = 100, 0.1, 43_200


def main(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """The exit code."""
    stdout.write(GREETING)
    stdout.flush()
    request = json.loads(stdin.readline().decode())
    verbs = {"look": look, "take": take, "run": run, "find": find, "give": give}
    try:
        return verbs[request["do"]](request, stdin, stdout)
    except OSError as error:
        if request["do"] == "run":
            raise
        answer(stdout, error=f"{error.filename or 'the connection'}: {error.strerror or error}")
        return 1


def answer(stdout: BinaryIO, **values: Any) -> None:
    """Sends one line."""
    stdout.write(json.dumps(values).encode() + b"\n")
    stdout.flush()


def _base(request: dict[str, Any]) -> Path:
    """cluster.ssh_dir, with ~ and $NAME expanded on this machine."""
    return Path(os.path.expandvars(request["base"])).expanduser().absolute()


def look(request: dict[str, Any], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Facts about this machine, and which of the requested files and folders it has."""
    base = _base(request)
    absent = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    told = {"base": str(base), "version": sys.version.split()[0], "host": socket.gethostname()}
    if sys.version_info < _OLDEST or absent:
        answer(stdout, absent=absent, old=sys.version_info < _OLDEST, **told)
        return 0
    files = base / "sent" / "files"
    files.mkdir(parents=True, exist_ok=True)
    (base / "runs").mkdir(exist_ok=True)
    have: dict[str, int] = {}
    for sha in request["files"]:
        part = files / f"{sha}.part"
        if (files / sha).exists():
            have[sha] = -1
            _mark_used(files / sha)
        elif part.exists():
            have[sha] = part.stat().st_size
    trees = [name for name in request["trees"] if (base / "sent" / name).is_dir()]
    for name in trees:
        _mark_used(base / "sent" / name)
    earlier = None
    if request.get("answer"):
        with suppress(OSError, ValueError):
            earlier = json.loads((base / "sent" / "answers" / request["answer"]).read_text())
    free = shutil.disk_usage(base).free
    answer(stdout, absent=[], old=False, have=have, trees=trees, free=free, earlier=earlier, **told)
    return 0


def _mark_used(path: Path) -> None:
    """Notes that a launch uses it, which keeps it from being removed."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _NOTED_S:
            os.utime(path)


def take(request: dict[str, Any], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Receives files, each under its sha256, then makes folders from them: of named files, or by unpacking an archive."""
    sent = _base(request) / "sent"
    wrong = [one["sha"] for one in request["files"] if not _receive(sent / "files", one, stdin)]
    if not wrong:
        for tree in request["trees"]:
            _make(sent, tree)
    answer(stdout, wrong=wrong)
    return 0


def _receive(folder: Path, one: dict[str, Any], stdin: BinaryIO) -> bool:
    """Whether the file has the announced digest. Until it is complete it has another name, also after a lost connection."""
    target, part = folder / one["sha"], folder / f"{one['sha']}.part"
    with part.open("ab") as file:
        if not _locked(file):
            raise OSError(0, "another launch is sending the same file; repeat the command", str(target))
        file.truncate(one["offset"])
        left = one["size"] - one["offset"]
        while left:
            piece = stdin.read(min(_PIECE, left))
            if not piece:
                raise OSError(0, "the connection was lost while this file was sent", str(target))
            file.write(piece)
            left -= len(piece)
        file.flush()
        os.fsync(file.fileno())
        if _sha256(part, one["size"]) != one["sha"]:
            part.unlink()
            return False
        part.chmod(0o444)
        part.replace(target)
    return True


def _locked(file: BinaryIO) -> bool:
    """Whether this process has the lock. A process whose connection is lost keeps it a moment longer. True on a file system
    without locks."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_EVERY_S)
        except OSError:
            return True
        else:
            return True
    return False


def _sha256(path: Path, size: int) -> str:
    """The sha256 of the first `size` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size:
            piece = file.read(min(_PIECE, size))
            if not piece:
                break
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest()


def _make(sent: Path, tree: dict[str, Any]) -> None:
    """Makes one folder, which has another name until it is complete."""
    target = sent / tree["name"]
    if target.is_dir():
        return
    folder = target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}")
    folder.mkdir(parents=True)
    for name, sha in tree["files"]:
        path, source = folder / name, sent / "files" / sha
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, path)
    if tree["archive"]:
        try:
            _unpack(sent / "files" / tree["archive"], folder)
        except (OSError, tarfile.TarError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
    try:
        folder.rename(target)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        if not target.is_dir():
            raise


def _unpack(file: Path, folder: Path) -> None:
    """Unpacks an archive; OSError if it holds a link, a device or a path outside of its folder, as a launch never sends."""
    with tarfile.open(file) as archive:
        for one in archive.getmembers():
            path = PurePosixPath(one.name)
            if not (one.isfile() or one.isdir()) or path.is_absolute() or ".." in path.parts:
                raise OSError(
                    errno.EINVAL, f"the archive holds {one.name[:100]!r}, which no launch sends", str(file)
                )
        safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safe)


def run(request: dict[str, Any], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Runs a command of the launcher, whose output and exit code become those of this process. It is interrupted, as by
    Ctrl-C, when the connection ends."""
    control = os.dup(0)  # no child inherits it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(control, 4096):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=watch, daemon=True).start()
    os.chdir(request["folder"])
    path: list[str] = request["path"]
    sys.path[:] = [*path, *[entry for entry in sys.path if entry]]
    from launcher import environment  # the code that was sent

    given = os.environ.get(environment.PYTHONPATH)
    os.environ[environment.PYTHONPATH] = os.pathsep.join([*path, *([given] if given else [])])
    if request.get("answer"):
        file = _base(request) / "sent" / "answers" / request["answer"]
        file.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            file.unlink()
        needs = {name: request[name] for name in ("words", "folder", "path")}
        file.with_name(f"{file.name}.request.json").write_text(json.dumps(needs))
        os.environ[environment.ANSWER] = str(file)
        if request["git"]:
            state = file.with_name(f"{file.name}.git.json")
            state.write_text(json.dumps(request["git"]))
            os.environ[environment.GIT_STATE] = str(state)
    sys.argv = ["launcher", *request["words"]]
    try:
        runpy.run_module("launcher", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if request.get("answer") and not ended.code:
            from launcher.remote.unused import remove_after_launch

            remove_after_launch(_base(request))
        raise
    return 0


def find(request: dict[str, Any], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """The files of a run dir: path in it, size, and modification time in nanoseconds. The folders `without` are left out down
    to a depth, which is 0 for those of a run itself."""
    root = Path(request["run_dir"])
    if not root.is_dir():
        raise OSError(2, "the run dir no longer exists", str(root))
    found: list[tuple[str, int, int]] = []
    for folder, folders, names in os.walk(root):
        below = Path(folder).relative_to(root)
        left_out: list[str] = request["without"] if len(below.parts) <= request["depth"] else []
        folders[:] = [name for name in folders if name not in left_out]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not name.startswith("."):
                status = path.stat()
                found.append((str(below / name), status.st_size, status.st_mtime_ns))
    answer(stdout, files=sorted(found))
    return 0


def give(request: dict[str, Any], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Sends files from an offset to a size, each after the sha256 of its first `size` bytes; null if the file is gone, became
    shorter, or cannot be read."""
    for name, offset, size in request["files"]:
        path = Path(request["run_dir"], name)
        sha = None
        with suppress(OSError):
            if path.stat().st_size >= size:
                sha = _sha256(path, size)
        answer(stdout, name=name, sha=sha)
        if sha is None:
            continue
        with path.open("rb") as file:
            file.seek(offset)
            left = size - offset
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise OSError(0, "this file became shorter while it was read", str(path))
                stdout.write(piece)
                left -= len(piece)
    stdout.flush()
    return 0


if __name__ == "there":
    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
