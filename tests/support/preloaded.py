"""`python -m launcher` in a process forked from one that has its modules loaded: a third of the CPU time of a start.

Each command is a real process with its own arguments, folder, environment, standard streams and exit code; the interpreter's
start and the imports alone are shared. A test of the start itself, of imports, signals or a terminal starts Python instead.
As a program it reads one request a message (JSON and three file descriptors), and answers with the process's id and its end.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "hydra", "hydra.core.global_hydra", "hydra._internal.hydra", "hydra.core.plugins", "omegaconf", "jinja2", "yaml",
    "ruamel.yaml",
    "rich.console", "rich.table", "rich.progress", "numpy", "concurrent.futures", "urllib.request", "http.client", "ssl",
    "tempfile", "getpass", "shlex", "difflib", "fractions", "hashlib", "zipfile", "csv", "statistics",
)  # fmt: skip
_NOT_LOADED = ("launcher.train", "launcher.plugins.on_rank", "launcher.__main__")
_NEVER = ("torch", "transformers", "huggingface_hub", "datasets", "optuna", "httpx")
"""Packages that a command loads by need. huggingface_hub reads the environment when it is imported."""
_AFTER_START = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
"""Variables of the interpreter that have the same effect on a process that runs already."""
_LOCALES = ("", "C", "C.UTF-8", "POSIX")


def run(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout_s: float = 300,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """What `python -m launcher` with these arguments did; `given` is its standard input.

    Starts Python where the environment says something about the interpreter's own start.
    """
    command = [sys.executable, "-m", "launcher", *arguments]
    if not _same_start(environment):
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    code, out, err = _server().serve(arguments, folder, environment, timeout_s, given)
    return subprocess.CompletedProcess(command, code, out, err)


def _same_start(environment: Mapping[str, str]) -> bool:
    """Whether the interpreter would start as the server did: its own variables, its locale and its libraries.

    Folders of PYTHONPATH may add packages, and hold none that the server has loaded.
    """
    for name, value in environment.items():
        if name in ("LANG", "LC_ALL", "LC_CTYPE"):
            same = value in _LOCALES
        elif name == "PYTHONPATH":
            same = all(
                Path(one).is_absolute() and not (Path(one) / "launcher").exists() for one in value.split(":")
            )
        else:
            same = not name.startswith(("PYTHON", "LD_")) or name in _AFTER_START
        if not same:
            return False
    return True


class _Server:
    """A client of one such process, which serves one command after the other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(other.fileno())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(other.fileno(),),
            env={"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        other.close()

    def serve(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        timeout_s: float,
        given: str,
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr; subprocess.TimeoutExpired after `timeout_s`, with the command killed."""
        mask = os.umask(0)
        os.umask(mask)
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "umask": mask,
        }
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        read_err, write_err = os.pipe()
        with self.lock:
            socket.send_fds(self.socket, [json.dumps(request).encode()], [read_in, write_out, write_err])
            for one in (read_in, write_out, write_err):
                os.close(one)
            pid = int(self.socket.recv(100))
            texts: dict[int, bytes] = {}
            readers = [
                threading.Thread(target=_read, args=(one, texts), daemon=True) for one in (read_out, read_err)
            ]
            for one in readers:
                one.start()
            with contextlib.suppress(BrokenPipeError), os.fdopen(write_in, "wb") as stream:
                stream.write(given.encode())
            end = time.monotonic() + timeout_s
            for one in readers:
                one.join(max(0.0, end - time.monotonic()))
            late = any(one.is_alive() for one in readers)
            if late:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            code = int(self.socket.recv(100))
        if late:
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        return code, texts[read_out].decode(), texts[read_err].decode()

    def close(self) -> None:
        self.socket.close()
        self.process.wait()


def _read(descriptor: int, texts: dict[int, bytes]) -> None:
    with os.fdopen(descriptor, "rb") as stream:
        texts[descriptor] = stream.read()


_started: list[_Server] = []


def _server() -> _Server:
    """The server of this process."""
    if not _started or _started[0].process.poll() is not None:
        _started[:] = [_Server()]
        atexit.register(_started[0].close)
    return _started[0]


def main(descriptor: int) -> None:
    """Serves until the client closes its end."""
    _load()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as client:
        while True:
            message, descriptors, _, _ = socket.recv_fds(client, 1 << 20, 3)
            if not message:
                return
            pid = os.fork()
            if not pid:
                client.close()
                os._exit(_command(json.loads(message), descriptors))
            for one in descriptors:
                os.close(one)
            client.send(str(pid).encode())
            client.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _load() -> None:
    """Imports what most commands import, and nothing that looks at the environment or takes seconds."""
    import launcher

    for name in _LIBRARIES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(launcher.__path__, "launcher.", onerror=lambda _: None):
        if not module.name.startswith(_NOT_LOADED) and not module.name.endswith(".__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    loaded = [name for name in _NEVER if name in sys.modules]
    assert not loaded, f"{loaded} would be loaded in every command"


def _command(request: dict[str, Any], descriptors: list[int]) -> int:
    """Runs the command in this process; the exit code, as the interpreter would give it."""
    for number, one in enumerate(descriptors):
        os.dup2(one, number)
        os.close(one)
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    added = os.environ.get("PYTHONPATH")
    sys.path[:1] = [os.getcwd(), *(added.split(":") if added else ())]  # noqa: PTH109 - as `python -m` does
    if os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.argv = ["", *request["arguments"]]
    gc.set_threshold(700, 10, 10)
    code = 1
    try:
        runpy.run_module("launcher", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
    return code & 0xFF


if __name__ == "__main__":
    main(int(sys.argv[1]))
