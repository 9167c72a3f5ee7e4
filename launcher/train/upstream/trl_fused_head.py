"""trl 1.16: whether its fused head runs as Triton kernels.

Symptom: trl decides it in the private function `_use_triton`, and no public function or setting tells it. Where it does not use
Triton, its head makes many passes over [tokens, vocabulary] and is computed twice.
"""

from typing import Any


def is_head_fused(device: Any) -> bool:
    """Whether trl computes the head with Triton kernels on this device."""
    from trl.kernels.chunked_logprob import _use_triton

    return _use_triton(device)
