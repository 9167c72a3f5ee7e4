"""The layout of 4-bit weights on a CPU with AVX512-BF16, with the patch and without it."""

import pytest
import torch
from bitsandbytes.nn import Linear4bit

from launcher.train.upstream.bitsandbytes_cpu_layout import keep_layout

pytestmark = pytest.mark.train


def packs_anew(*, patched: bool) -> bool:
    """Whether a forward pass in an evaluation changes the bytes of the weight; on any CPU, by setting the module's own flag."""
    layer = Linear4bit(64, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4").to("cpu")
    before = layer.weight.data.clone()
    layer.support_avx512bf16_for_cpu = True
    if patched:
        keep_layout(layer)
    layer.eval()
    try:
        with torch.no_grad():
            layer(torch.ones(1, 64, dtype=torch.bfloat16))
    except (RuntimeError, NotImplementedError):
        pass  # the kernel itself needs the CPU's instructions; the weight is packed before it runs
    return not (before.shape == layer.weight.shape and torch.equal(before, layer.weight.data))


def test_without_the_patch_an_evaluation_changes_the_weights_layout():
    assert packs_anew(patched=False)


def test_with_the_patch_the_weights_bytes_stay():
    assert not packs_anew(patched=True)
