"""accelerate 1.15: FSDP2 on CPU ranks.

Symptom: AcceleratorState.__init__ (state.py) reads its FSDP settings on GPUs only. On CPU ranks it runs DDP without a warning.
No GPU run needs this patch; tests and small machines do.
"""

from typing import Any


def keep_fsdp_on_cpu() -> None:
    """Makes accelerate keep FSDP on CPU ranks. Must be called before the trainer's arguments are made."""
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
