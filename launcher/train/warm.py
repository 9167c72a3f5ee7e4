"""python -m launcher.train.warm DESCRIPTOR RUN_DIR: the warm process imports the training stack once and forks the ranks.

Nothing here may touch a tensor or a GPU: the child of a process with OpenMP threads or a CUDA context can hang. The messages
between the agent and this process are in launcher/protocol/ranks.py.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from launcher import environment
from launcher.processes import death_with_parent
from launcher.protocol.codec import decode, encode
from launcher.protocol.ranks import TO_WARM, ForkRank, RankExited, RankForked, WarmReady
from launcher.run import RunDir
from launcher.run.lanes import lanes_file
from launcher.strategies import planned_strategy
from launcher.train.noise import leave_out_noise

_MOST_DESCRIPTORS = 8


def main(argv: list[str]) -> int:
    """The exit code. The process ends when the agent closes its end of the channel."""
    channel = socket.socket(fileno=int(argv[0]))
    run_dir = Path(argv[1])
    plan = json.loads((run_dir / "plan.json").read_text())
    os.environ[environment.TOKENIZERS_PARALLELISM] = "false"
    os.environ.setdefault(environment.NVML_CUDA_CHECK, "1")
    leave_out_noise()
    import_stack(
        [*modules(plan), *(["launcher.train.lanes.group"] if lanes_file(RunDir(run_dir)).exists() else [])]
    )
    started = _has_cuda_context()
    if started:
        print(
            "launcher: an import has started CUDA in the warm process, which then cannot fork ranks: every rank imports the "
            "stack itself, and starts later",
            flush=True,
        )
    channel.send(encode(WarmReady(can_fork=not started)))
    children: set[int] = set()
    while True:
        if select.select([channel], [], [], 0.02 if children else None)[0]:
            data, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, _MOST_DESCRIPTORS)
            if not data:
                return 0
            request = decode(data, TO_WARM)
            assert isinstance(request, ForkRank)
            pid = _fork(channel, run_dir, request, descriptors)
            children.add(pid)
            for descriptor in descriptors:
                os.close(descriptor)
            channel.send(encode(RankForked(pid=pid)))
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                channel.send(encode(RankExited(pid=pid, code=code)))


def import_stack(names: Iterable[str]) -> None:
    """Imports these modules, without starting CUDA, and so that the ranks share their pages."""
    gc.disable()  # nearly all objects of an import stay, so the collector would take a fifth of the time and find little
    from launcher.train.upstream.bitsandbytes_without_cuda import capability_without_cuda

    with capability_without_cuda():
        for name in names:
            importlib.import_module(name)
    gc.freeze()  # a collection would write to the shared pages
    gc.enable()


def modules(plan: dict[str, Any]) -> list[str]:
    """The modules that the ranks of this plan import."""
    adapter, strategy = plan["adapter"], planned_strategy(plan["strategy"])
    return [
        "datasets",
        "launcher.train.session",
        f"launcher.train.methods.{plan['trainer']}",
        *(["peft"] if adapter else []),
        *(["bitsandbytes"] if adapter and (adapter["four_bit"] or adapter["eight_bit"]) else []),
        *strategy.imports,
        strategy.on_rank,
    ]


def _has_cuda_context() -> bool:
    """Whether an import has started CUDA, which no forked process could use. NVML alone does not open nvidia-uvm."""
    import torch

    links: list[str] = ["nvidia-uvm"] if torch.cuda.is_initialized() else []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(descriptor.readlink()))
    return any("nvidia-uvm" in link for link in links)


def _fork(channel: socket.socket, run_dir: Path, request: ForkRank, descriptors: list[int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        death_with_parent()()
        channel.close()
        log, *others = descriptors
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(request.environment)
        os.environ.update(
            {name: str(number) for name, number in zip(request.descriptors, others, strict=True)}
        )
        os.chdir(run_dir)
        from launcher.train.__main__ import main as train

        code = train([str(run_dir)])
    finally:
        with contextlib.suppress(OSError):  # a full disk must not change the exit code
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
