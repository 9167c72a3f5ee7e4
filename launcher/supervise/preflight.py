"""The checks of a node before ranks start on it."""

import os
import shutil
import time
from pathlib import Path

from launcher.compiler import lacking_for
from launcher.protocol.agents import NodeFacts
from launcher.run import RunDir
from launcher.strategies import planned_strategy
from launcher.supervise.gpu_check import find_problems
from launcher.units import gibibytes

_LEAST_DISK = 1 << 30
_LEAST_MEMORY = 1 << 30


def look_at_node(run: RunDir) -> NodeFacts:
    """Clock, free disk space and memory of this node, and its problems."""
    plan = run.read_json(run.plan)
    disk = shutil.disk_usage(run.path).free
    memory = _available_memory()
    problems: list[str] = []
    if disk < _LEAST_DISK:
        problems.append(f"{gibibytes(disk)} are free at {run.path}, too little for a save")
    if memory < _LEAST_MEMORY:
        problems.append(f"{gibibytes(memory)} of memory are available")
    if not os.access(run.path, os.W_OK):
        problems.append(f"{run.path} cannot be written")
    if plan["device"] == "cuda":
        problems += find_problems(int(plan["topology"]["gpus_per_node"]), os.environ)
    operators = planned_strategy(plan["strategy"]).operators(plan["trainer_args"]["optim"])
    if lacking := lacking_for(operators, plan["device"], os.environ):
        problems.append(
            f"{' and '.join(operators)} of DeepSpeed cannot be compiled: the node lacks {lacking}"
        )
    return NodeFacts(time=time.time(), disk=disk, memory=memory, problems=tuple(problems))


def _available_memory() -> int:
    """Bytes. Source: proc(5), /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
