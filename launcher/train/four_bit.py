"""4-bit weights on CPU ranks."""

from typing import Any


def keep_layout(model: Any) -> None:
    """Keeps bitsandbytes from packing 4-bit weights anew for the CPU, in the first forward pass without gradients.

    bitsandbytes 0.50 (nn/modules.py, Linear4bit.forward) does that on CPUs with AVX512-BF16 and notes it beside the weight.
    ZeRO-3 and FSDP2 bring the weight back as it was, which is then read in the other layout: an evaluation, and every step
    after it, sees noise. On a GPU nothing needs this.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
