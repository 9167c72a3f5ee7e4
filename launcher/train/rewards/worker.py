"""The program of a reward process: it imports one function, and calls it for each request until its rank ends.

It is started by the path of this file and imports nothing but the standard library, because the rank's search path comes with
the first message. A message is its length in 8 bytes, and then its content: pickle from the rank, JSON from the process.
"""

import asyncio
import importlib
import inspect
import json
import os
import pickle
import random
import signal
import socket
import struct
import sys
import time
import traceback
from types import SimpleNamespace
from typing import Any

_LENGTH = struct.Struct("!Q")
_SHOWN = 500
"""Most characters of an error that are sent."""


def send(channel: socket.socket, content: bytes, deadline: float | None) -> None:
    """Sends a message until `deadline` (time.monotonic(); None: for ever). TimeoutError after it, OSError if nobody reads."""
    channel.settimeout(_left(deadline))
    channel.sendall(_LENGTH.pack(len(content)) + content)


def receive(channel: socket.socket, deadline: float | None) -> bytes:
    """The next message. TimeoutError after `deadline`, EOFError if the other side has closed the connection."""
    (length,) = _LENGTH.unpack(_read(channel, _LENGTH.size, deadline))
    return _read(channel, length, deadline)


def _read(channel: socket.socket, length: int, deadline: float | None) -> bytes:
    found = bytearray()
    while len(found) < length:
        channel.settimeout(_left(deadline))
        part = channel.recv(min(length - len(found), 1 << 20))
        if not part:
            raise EOFError("the connection is closed")
        found += part
    return bytes(found)


def _left(deadline: float | None) -> float | None:
    """Seconds until the deadline. A socket takes 0 for `do not wait`."""
    return None if deadline is None else max(deadline - time.monotonic(), 1e-3)


def main(argv: list[str]) -> int:
    """The exit code, once the rank has closed the connection."""
    channel = socket.socket(fileno=int(argv[1]))
    channel.set_inheritable(False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        # Slurm sends signals to all processes of a job, and the rank needs this one until it ends. A handler, unlike SIG_IGN,
        # does not reach the programs that the function starts.
        signal.signal(number, lambda *_: None)
    try:
        setup = pickle.loads(receive(channel, None))
        sys.path[:] = setup["path"]
        _end_with_rank(setup["rank_pid"])
        function, wrong = _load(setup["target"])
        send(channel, json.dumps({"wrong": wrong} if wrong else {"ready": True}).encode(), None)
        while function is not None:
            request = pickle.loads(receive(channel, None))
            send(channel, json.dumps(_call(function, setup["options"], request)).encode(), None)
    except (EOFError, OSError):
        return 0
    return 1


def _end_with_rank(pid: int) -> None:
    """Makes the kernel end this process with its rank, also in a function that never returns."""
    from launcher.processes import death_with_parent

    death_with_parent()()
    if os.getppid() != pid:
        raise EOFError("the rank has ended")


def _load(target: str) -> tuple[Any, str]:
    """The function, or None and what is wrong."""
    module, _, name = target.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module runs its own code
        return None, f"cannot be imported: {_words(error)}"
    return (function, "") if callable(function) else (None, "is not a function; name one")


def _call(function: Any, options: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The reply: `values` and `metrics`; `raised`, the error of the function; or `wrong`, what it may not return."""
    _seed(request["seed"])
    metrics: list[tuple[str, float]] = []
    more = {
        "trainer_state": SimpleNamespace(**request["state"]),
        "log_metric": lambda name, value: metrics.append((str(name), float(value))),
        "log_extra": lambda *_: None,
    }
    try:
        found = function(**request["arguments"], **more, **options)
        if inspect.isawaitable(found):
            found = asyncio.run(_wait(found))
    except BaseException as error:  # SystemExit too: a reply says more than the end of the process
        traceback.print_exc()
        return {"raised": _words(error)}
    answers = request["answers"]
    try:
        values = [None if value is None else float(value) for value in found]
    except (TypeError, ValueError) as error:
        return {"wrong": f"must return a number or None for each answer: {_words(error)}"}
    if len(values) != answers:
        return {
            "wrong": f"returned {len(values)} values for {answers} answers; it must return one for each answer"
        }
    return {"values": values, "metrics": metrics}


async def _wait(found: Any) -> Any:
    return await found


def _seed(seed: int) -> None:
    """Seeds the generators that the function may use, so that a repeated step gets the same rewards."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_SHOWN]


if __name__ == "__main__":
    sys.exit(main(sys.argv))
