"""bitsandbytes 0.50 under torch's FSDP2: the constants that dequantise 4-bit weights.

Symptom: `quant_state` is a plain attribute of the weight, neither parameter nor buffer. fully_shard moves parameters and
buffers to the GPU and leaves it on the CPU, and the first forward pass stops with tensors on two devices.
"""

from typing import Any

import torch


def constants_to_gpu(model: Any) -> None:
    """Moves the constants of all 4-bit weights to this rank's GPU."""
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            state.to(torch.device("cuda", torch.cuda.current_device()))
