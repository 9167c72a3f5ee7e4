"""GPU memory that loading the model needs, where that is more than a training step needs."""

from collections.abc import Mapping

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term
from launcher.plan.memory.weights import frozen_bytes, quantisation_bytes

_ALSO_THEN = ("context",)
"""Terms that also count while the model is loaded."""


def loading_bytes(load: Load) -> float:
    """What the whole 4-bit model needs on every GPU while it is loaded, before ZeRO-3 shards it; 0 if it is loaded sharded, or
    on the host, or if it stays whole.

    Source: transformers 5.23, quantizers/quantizer_bnb_4bit.py (update_device_map), and modeling_utils.py, which does not let
    DeepSpeed shard quantised models while they load. Unverified.
    """
    four_bit = load.adapter is not None and load.adapter.four_bit
    if not four_bit or not load.acting.loads_shards or load.acting.four_bit_on_host:
        return 0
    return frozen_bytes(load) + quantisation_bytes(load)


def excess(load: Load, before: Mapping[str, float]) -> float:
    """The bytes by which loading exceeds the training step, which the terms before count."""
    return max(
        0.0, loading_bytes(load) - sum(count for name, count in before.items() if name not in _ALSO_THEN)
    )


LOADING = Term(
    name="loading",
    count=excess,
    formulas=(loading_bytes,),
    text="How much more loading needs than the sum of the other terms.",
    shown_by="unverified",
)
