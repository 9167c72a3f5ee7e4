"""torch.cuda of one invented GPU, for what Python asks of it. Import after guard.load()."""

import contextlib
import types
from collections import Counter
from typing import Any

import torch
import torch.backends.cuda

from tests.fakecuda.allocator import CachingAllocator

ASKED: Counter[str] = Counter()
"""How often each function of torch.cuda was called."""


class Stream:
    """A stream in which nothing runs."""

    cuda_stream = stream_id = device_index = priority = 0
    device_type = 1

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.device = torch.device("cuda", 0)

    def record_event(self, event: Any = None) -> Any:
        return event or Event()

    def query(self) -> bool:
        return True

    def wait_stream(self, *arguments: Any) -> None: ...

    wait_event = synchronize = wait_stream

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *arguments: object) -> None: ...


class Event:
    """An event that has happened."""

    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def query(self) -> bool:
        return True

    def elapsed_time(self, other: Any) -> float:
        return 1.0

    def record(self, *arguments: Any) -> None: ...

    wait = synchronize = record


class Here:
    """torch.cuda.device, of which there is one."""

    def __init__(self, device: Any) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *arguments: object) -> None: ...


def invent(allocator: CachingAllocator, gpus: int = 1, gib: int = 80) -> None:
    """Makes torch.cuda answer as on a node with `gpus` A100s, whose memory figures are the allocator's."""
    total = gib << 30
    cuda: Any = torch.cuda
    current = [0]

    def answer(name: str, value: Any) -> None:
        def asked(*arguments: Any, **options: Any) -> Any:
            ASKED[name] += 1
            return value() if callable(value) else value

        setattr(cuda, name, asked)

    capability = (8, 0)
    shape = types.SimpleNamespace(
        name="NVIDIA A100-SXM4-80GB", major=capability[0], minor=capability[1], total_memory=total,
        multi_processor_count=108, warp_size=32, gcnArchName="", uuid="0",
    )  # fmt: skip
    answers: dict[str, Any] = {
        "is_available": True, "is_initialized": True, "device_count": gpus, "get_device_name": shape.name,
        "get_device_capability": capability, "get_device_properties": shape, "is_bf16_supported": True,
        "is_current_stream_capturing": False, "memory_stats": {}, "synchronize": None, "empty_cache": None,
        "_lazy_init": None, "manual_seed": None, "manual_seed_all": None, "seed": None, "seed_all": None,
        "set_rng_state": None, "set_rng_state_all": None, "set_stream": None, "ipc_collect": None,
        "memory_allocated": lambda: allocator.allocated, "memory_reserved": lambda: allocator.reserved,
        "max_memory_allocated": lambda: allocator.peak_allocated, "max_memory_reserved": lambda: allocator.peak_reserved,
        "mem_get_info": lambda: (total - allocator.reserved, total), "reset_peak_memory_stats": allocator.forget_peaks,
        "get_rng_state": lambda: torch.zeros(16, dtype=torch.uint8, device="cpu"),
        "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8, device="cpu")],
        "current_device": lambda: current[0], "current_stream": Stream, "default_stream": Stream,
    }  # fmt: skip
    for name, value in answers.items():
        answer(name, value)

    def set_device(device: Any) -> None:
        current[0] = device if isinstance(device, int) else torch.device(device).index or 0

    cuda.set_device = set_device
    cuda.Stream, cuda.Event, cuda.device, cuda.device_of = Stream, Event, Here, Here
    cuda.stream = lambda stream: contextlib.nullcontext()
    cuda.nvtx.range_push = cuda.nvtx.range_pop = lambda *arguments: None
    torch.version.cuda = "13.0"
    torch.backends.cuda.is_built = lambda: True
    accelerator: Any = torch.accelerator
    accelerator.is_available = lambda: True
    accelerator.current_accelerator = lambda *arguments, **options: torch.device("cuda")
    accelerator.current_device_index = lambda: current[0]
    accelerator.device_count = lambda: gpus
    accelerator.synchronize = lambda *arguments: None
