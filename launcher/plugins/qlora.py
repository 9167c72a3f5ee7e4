"""QLoRA: LoRA over weights that are stored in 4 bits.

Memory: the frozen linear layers shrink to about a quarter of bf16. Speed: they are dequantised in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.plan.adapter import Adapter
from launcher.plan.traits import Traits
from launcher.plugins.lora import LoRA

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
    """Quantise the quantisation constants too: 4.127 bits per weight instead of 4.5."""
    compute_dtype: str = "auto"
    """Number format in which dequantised weights are multiplied; auto is the format of the forward pass."""
    storage_dtype: str = "auto"
    """Number format of tensors with packed weights; auto is the format of the forward pass, which ZeRO-3 and FSDP2 need."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.load_in is not None:
            raise ValueError(
                f"{self.key}.load_in={self.load_in} does not work: its weights have 4 bits; use plugin=[lora] with "
                "plugins.lora.load_in=8bit"
            )
        if self.quant_type not in ("nf4", "fp4"):
            raise ValueError(f"{self.key}.quant_type={self.quant_type!r} must be nf4 or fp4")
        for name, known in (("compute_dtype", _COMPUTE), ("storage_dtype", _STORAGE)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{self.key}.{name}={getattr(self, name)!r} must be one of {', '.join(known)}"
                )
        if self.takes_weights:
            raise ValueError(
                f"{self.key}.init_lora_weights={self.init} changes the base model's weights, which would then be "
                f"quantised again, so that the export fits no base model; use lora, or "
                f"{self.key}.init_lora_weights=true"
            )

    @property
    def traits(self) -> Traits:
        """No traits of LoRA: its weights already have 4 bits."""
        return Traits()

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """LoRA's plan; PlanError if the strategy cannot shard the 4-bit weights."""
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
        """LoRA's adapter, over 4-bit weights."""
        return replace(super().adapter, four_bit=True, double_quant=self.double_quant)

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments with the quantisation. Source: transformers' bitsandbytes page, "FSDP-QLoRA"."""
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
