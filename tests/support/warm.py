"""A process that has imported the training stack and forks a run's ranks, so that hundreds of restarts take minutes.

The ranks run the product's own entry point, launcher.train, with the environment that the node's starter gives them. As a
program it reads one request a line (JSON) and answers each with one line. Nothing may touch a tensor before the fork.
"""

import contextlib
import gc
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.runs import environment

HEAVY = (
    "datasets",
    "trl",
    "peft",
    "bitsandbytes",
    "deepspeed",
    "launcher.train.session",
    "launcher.train.lanes.group",
    *(
        f"launcher.train.methods.{kind}"
        for kind in ("sft", "dpo", "kto", "orpo", "reward", "grpo", "classify", "distill")
    ),
    "torch.distributed.fsdp",
)


class Warm:
    """A client of one such process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(TOKENIZERS_PARALLELISM="false", PYTHONWARNINGS="ignore"),
        )  # fmt: skip

    def run(self, path: Path, **request: Any) -> dict[str, Any]:
        """Starts the ranks of a planned run and waits for their end.

        `kill_after_saves`: SIGKILL to all ranks once so many checkpoints were begun in this attempt, `delay_s` later;
        `kill_at_file`: once that file exists. `late` in the answer: they were killed after `timeout_s`, 120 by default.
        """
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"path": str(path), **request}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def main() -> None:
    out = os.fdopen(os.dup(1), "w")  # the ranks' output goes to their logs, a library's to stderr
    os.dup2(2, 1)
    with contextlib.suppress(Exception):
        for name in HEAVY:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        out.write(json.dumps(_serve(json.loads(line))) + "\n")
        out.flush()


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    path = Path(request["path"])
    plan = json.loads((path / "plan.json").read_text())
    world = plan["topology"]["world_size"]
    attempt = _count_started(path) + 1
    listener = socket.socket()
    listener.bind(("", 0))
    listener.listen(64)
    common = {
        **plan["env"], "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(listener.getsockname()[1]), "TORCHELASTIC_USE_AGENT_STORE": "True", "LAUNCHER_ATTEMPT": str(attempt),
    }  # fmt: skip
    with (path / "events.jsonl").open("a") as events:
        started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        events.write(json.dumps({"time": started, "event": "started", "attempt": attempt}) + "\n")
    pids = [_fork(path, plan["facts"]["work_dir"], common, rank, listener) for rank in range(world)]
    listener.close()
    killed, late = _watch(request, path, pids)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return {"codes": codes, "attempt": attempt, "killed": killed, "late": late}


def _fork(path: Path, work_dir: str, common: dict[str, str], rank: int, listener: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.environ.update(common, RANK=str(rank), LOCAL_RANK=str(rank))
        if rank == 0:
            os.environ["LAUNCHER_STORE_FD"] = str(listener.fileno())
        else:
            listener.close()
        folder = path / "logs" / f"warm_{common['LAUNCHER_ATTEMPT']}"
        folder.mkdir(parents=True, exist_ok=True)
        log = os.open(folder / f"rank_{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(path)
        sys.path.insert(0, work_dir)  # as node.sh does
        from launcher.train.__main__ import main as train

        code = train([str(path)])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(request: dict[str, Any], path: Path, pids: list[int]) -> tuple[bool, bool]:
    """Whether the ranks were killed here, and whether that was for taking too long, in place of the requested moment."""
    left = _begun(path)  # by an attempt before this one
    begun: set[tuple[str, int]] = set()
    deadline = time.monotonic() + request.get("timeout_s", 120)
    while True:
        ended = [_ended(pid) for pid in pids]
        if all(ended):
            return False, False
        late = time.monotonic() > deadline
        if "kill_after_saves" in request:
            begun |= _begun(path) - left
        wanted = len(begun) >= request.get("kill_after_saves", 1 << 30)
        wanted = wanted or Path(request.get("kill_at_file", "/nowhere/at/all")).exists()
        if wanted:
            time.sleep(request.get("delay_s", 0.0))
        if late or wanted or (any(ended) and _failed(pids)):
            order = list(pids)
            random.Random(request.get("delay_s")).shuffle(order)
            for pid in order:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return wanted or late, late and not wanted
        time.sleep(0.0005)


def _begun(path: Path) -> set[tuple[str, int]]:
    """Checkpoints that are being written or were committed, each with its inode, which a commit keeps: on busy cores a small
    one is committed between two looks."""
    found: set[tuple[str, int]] = set()
    with contextlib.suppress(FileNotFoundError):
        for one in (path / "checkpoints").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if one.name.startswith((".tmp_step", "step_")):
                    found.add((one.name.removeprefix(".tmp_"), one.stat().st_ino))
    return found


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _failed(pids: list[int]) -> bool:
    found = [os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) for pid in pids]
    return any(one is not None and one.si_status != 0 for one in found)


def _count_started(path: Path) -> int:
    return sum('"event": "started"' in line for line in (path / "events.jsonl").read_text().splitlines())


if __name__ == "__main__":
    main()
