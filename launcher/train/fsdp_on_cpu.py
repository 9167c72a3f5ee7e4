"""FSDP2 on CPU ranks, for tests and small machines."""

from typing import Any


def keep_fsdp_on_cpu() -> None:
    """Makes accelerate keep FSDP on CPU ranks.

    accelerate 1.15 (state.py, AcceleratorState.__init__) looks at its FSDP settings on GPUs alone, and runs DDP on CPU ranks
    without a word. On a GPU nothing needs this.
    """
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    original = AcceleratorState.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        plugin = kwargs.get("fsdp_plugin")
        original(self, *args, **kwargs)
        if plugin is None or self.distributed_type != DistributedType.MULTI_CPU:
            return
        self.distributed_type = DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        if self._mixed_precision != "no":
            plugin.set_mixed_precision(self._mixed_precision)
        self.fsdp_plugin = plugin

    AcceleratorState.__init__ = __init__
