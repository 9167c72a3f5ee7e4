"""QLoRA: LoRA over weights that are stored in 4 bits.

Memory: the frozen linear layers shrink to about a quarter of bf16. Speed: they are unpacked in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.plan.adapter import Adapter
from launcher.plugins.lora import LoRA, moves_weights

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_COMPUTE = ("auto", "bfloat16", "float16", "float32")
_STORAGE = ("auto", "uint8", "bfloat16", "float16", "float32")


@dataclass(frozen=True, kw_only=True)
class QLoRA(LoRA):
    """LoRA over weights in 4 bits. Source: Dettmers et al., arXiv 2305.14314."""

    quant_type: str = "nf4"
    """nf4 or fp4."""
    double_quant: bool = True
    """Quantise the quantisation constants too: 4.127 bits a weight in place of 4.5."""
    compute_dtype: str = "auto"
    """Format in which unpacked weights are multiplied; auto is that of the forward pass."""
    storage_dtype: str = "auto"
    """Format that packed weights pretend to have; auto is that of the forward pass, which ZeRO-3 and FSDP2 need."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quant_type not in ("nf4", "fp4"):
            raise ValueError(f"{self.key}.quant_type={self.quant_type!r} must be nf4 or fp4")
        for name, known in (("compute_dtype", _COMPUTE), ("storage_dtype", _STORAGE)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{self.key}.{name}={getattr(self, name)!r} must be one of {', '.join(known)}"
                )
        if moves_weights(self.init):
            raise ValueError(
                f"{self.key}.init_lora_weights={self.init} takes a part out of the base model's weights, and what is left "
                f"would be quantised anew, so that the export fits no base model; use lora, or "
                f"{self.key}.init_lora_weights=true"
            )

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Refuses what 4-bit weights cannot do."""
        planned = LoRA.on_plan(self, plan)
        own = planned.weights_dtype
        if plan.strategy.shards_weights and self.storage_dtype not in ("auto", own):
            raise PlanError(
                f"plugins.qlora.storage_dtype={self.storage_dtype} cannot be sharded by strategy={plan.strategy.name}, whose "
                f"weights must all have one format, {own} here; use plugins.qlora.storage_dtype=auto"
            )
        return planned

    @property
    def adapter(self) -> Adapter:
        """The same over 4-bit weights."""
        return replace(super().adapter, four_bit=True, double_quant=self.double_quant)

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Adds the quantisation. Source: transformers' bitsandbytes page, "FSDP-QLoRA"."""
        import torch
        from transformers import BitsAndBytesConfig

        dtype = kwargs["dtype"]
        compute = dtype if self.compute_dtype == "auto" else getattr(torch, self.compute_dtype)
        storage = dtype if self.storage_dtype == "auto" else getattr(torch, self.storage_dtype)
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=compute,
            bnb_4bit_quant_storage=storage,
        )
        return {**kwargs, "quantization_config": quantization}
