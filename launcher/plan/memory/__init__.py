"""Bytes that each GPU, node and checkpoint holds: one file per term, pure functions only."""

from launcher.plan.adapter import Adapter
from launcher.plan.memory.estimate import (
    MARGIN,
    TERMS,
    Memory,
    Room,
    estimate_memory,
    estimate_room,
    explain_terms,
)
from launcher.plan.memory.load import CONTEXT_GIB, Load
from launcher.plan.memory.optimizer import OPTIMIZERS
from launcher.plan.memory.term import Term
from launcher.units import GIB

__all__ = [
    "CONTEXT_GIB",
    "GIB",
    "MARGIN",
    "OPTIMIZERS",
    "TERMS",
    "Adapter",
    "Load",
    "Memory",
    "Room",
    "Term",
    "estimate_memory",
    "estimate_room",
    "explain_terms",
]
