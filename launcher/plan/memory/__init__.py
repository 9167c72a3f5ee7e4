"""Bytes that each GPU, node and checkpoint holds: one file per term, pure functions only."""

from launcher.plan.adapter import Adapter
from launcher.plan.memory.estimate import (
    CONTEXT_GIB,
    EXPLAINED,
    GIB,
    MARGIN,
    SHOWN,
    Memory,
    Room,
    estimate_memory,
    estimate_room,
)
from launcher.plan.memory.load import Load
from launcher.plan.memory.optimizer import OPTIMIZERS

__all__ = [
    "CONTEXT_GIB",
    "EXPLAINED",
    "GIB",
    "MARGIN",
    "OPTIMIZERS",
    "SHOWN",
    "Adapter",
    "Load",
    "Memory",
    "Room",
    "estimate_memory",
    "estimate_room",
]
