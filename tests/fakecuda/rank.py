"""One rank of a planned run on the fake device: the launcher's own session, from the start to its last step."""

import os
import time
import traceback
from pathlib import Path
from typing import Any

GIB = 2**30


def train(path: Path, documents: bool = False, top: int = 0, after: str = "") -> dict[str, Any]:
    """What the rank did and held. The process is of no use for anything else after it."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from launcher.plugins.decide import read_run
    from launcher.run import RunDir
    from launcher.train.heartbeat import Heartbeat
    from launcher.train.session import train as session
    from tests.fakecuda import device, upstream
    from tests.fakecuda.allocator import CachingAllocator
    from tests.fakecuda.expandable import ExpandableAllocator
    from tests.fakecuda.lifetimes import Lifetimes
    from tests.fakecuda.need import least_memory
    from tests.fakecuda.watch import Enough, Watched

    began = time.monotonic()
    run = RunDir(path.resolve())
    decided = read_run(run)
    topology = decided.plan.topology
    os.environ.update(
        RANK="0", LOCAL_RANK="0", WORLD_SIZE=str(topology.world_size), LOCAL_WORLD_SIZE=str(topology.gpus_per_node),
        MASTER_ADDR="127.0.0.1", MASTER_PORT="1",
    )  # fmt: skip
    allocator = CachingAllocator()
    device.invent(allocator, gpus=topology.gpus_per_node)
    upstream.prepare(topology.world_size)
    upstream.random_models(sharded=decided.plan.strategy.shards_weights)
    lifetimes = Watched.lifetimes = Lifetimes(allocator, documents)
    lifetimes.follow_resizes()
    lifetimes.after = after
    error = None
    with FakeTensorMode(allow_non_fake_inputs=True), lifetimes:
        try:
            session(run, decided, Heartbeat())
        except Enough:
            pass
        except Exception as failure:
            traceback.print_exc()
            error = f"{type(failure).__name__}: {failure}"[:500]
    del torch
    tensors, fixed = least_memory(allocator.requests, allocator.trained_from)
    grown = least_memory(allocator.requests, allocator.trained_from, ExpandableAllocator)[1]
    return {
        "error": error,
        "peak": allocator.peak_allocated,
        "reserved": allocator.peak_reserved,
        "tensors": tensors,
        "fixed": fixed,
        "grown": grown,
        "phases": lifetimes.peaks,
        "operations": dict(lifetimes.operations),
        "called": upstream.CALLED,
        "asked": dict(device.ASKED),
        "held": _largest(lifetimes, top),
        "seconds": round(time.monotonic() - began, 1),
    }


def _largest(lifetimes: Any, count: int) -> list[str]:
    """Lines about the largest kinds of storages at the peak."""
    sums: dict[Any, list[int]] = {}
    for held in lifetimes.at_peak:
        key = held.made_by, held.shape, str(held.dtype).removeprefix("torch."), held.phase
        total = sums.setdefault(key, [0, 0])
        total[0] += held.size
        total[1] += 1
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])[:count]
    return [
        f"{size / GIB:8.3f} GiB {number:4d} x {' '.join(map(str, key))}" for key, (size, number) in ordered
    ]
