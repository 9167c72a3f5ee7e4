"""bitsandbytes 0.50: the layout of 4-bit weights on CPU ranks.

Symptom: Linear4bit.forward (nn/modules.py) packs its weight into another layout in the first forward pass without gradients, on
CPUs with AVX512-BF16, and records that beside the weight. ZeRO-3 and FSDP2 bring the weight back in the old layout, which is
then read in the new one: an evaluation, and every step after it, computes noise. No GPU run needs this patch.
"""

from typing import Any


def keep_layout(model: Any) -> None:
    """Keeps the layout in which the weights were loaded."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
