"""LoRA and QLoRA: train a small adapter beside frozen weights.

Memory: gradients and optimizer state shrink to the adapter's; QLoRA also stores the frozen linear layers in
4 bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from launcher.plan.memory import Adapter
from launcher.plan.model import count_lora
from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan


@dataclass(frozen=True, kw_only=True)
class LoRA(Plugin):
    """Low-rank adapters on linear layers. Source: Hu et al., arXiv 2106.09685."""

    r: int = 16
    """Rank of the update."""
    alpha: int = 32
    """The update is scaled by alpha / r."""
    dropout: float = 0.0
    """Dropout before the adapter."""
    target_modules: Any = "all-linear"
    """all-linear, or a list of layer names such as [q_proj, v_proj]."""

    def __post_init__(self) -> None:
        check_types(self, self.key)
        if self.r < 1:
            raise ValueError(f"{self.key}.r={self.r} must be at least 1")
        if self.alpha < 1:
            raise ValueError(f"{self.key}.alpha={self.alpha} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{self.key}.dropout={self.dropout} must be at least 0 and below 1")
        names: Any = [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules
        if not isinstance(names, list | tuple) or {type(name) for name in cast("list[Any]", names)} != {str}:
            told = f"{self.key}.target_modules={self.target_modules!r}"
            raise ValueError(f"{told} must be all-linear or a list of layer names")

    @property
    def key(self) -> str:
        """Where a user sets this plugin."""
        return f"plugins.{type(self).__name__.lower()}"

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Counts the adapter and lets the frozen weights be loaded in the forward pass's format."""
        shape = plan.facts.architecture
        count = count_lora(shape, self.r, self.target_modules, key=self.key) if shape else None
        dtype = {"bf16": "bfloat16", "fp32": "float32"}[plan.precision]
        head = shape.hidden_size if shape and plan.trainer == "reward" else 0
        model = replace(plan.model, trainable_parameters=count and count + head)
        return replace(plan, model=model, weights_dtype=dtype, adapter=self.adapter)

    @property
    def adapter(self) -> Adapter:
        """What the memory estimate needs of it."""
        targets = self.target_modules
        whole = targets == "all-linear"
        names = (targets,) if isinstance(targets, str) else tuple(cast("list[str]", targets))
        return Adapter(
            r=self.r,
            target_modules="all-linear" if whole else names,
            four_bit=False,
            double_quant=False,
            dropout=self.dropout > 0,
        )

    def on_model(self, model: Any) -> Any:
        """The model with its adapters, everything else frozen."""
        from peft import LoraConfig, get_peft_model

        targets = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        if isinstance(targets, str) and targets != "all-linear":
            targets = [targets]
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=targets,
            **_task(model),
        )
        return get_peft_model(model, config)


def _task(model: Any) -> dict[str, Any]:
    """What peft is told of the model's use; a reward model's new head is trained whole and kept with the adapter."""
    if hasattr(model, "score"):
        return {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    return {"task_type": "CAUSAL_LM"}


@dataclass(frozen=True, kw_only=True)
class QLoRA(LoRA):
    """LoRA over weights in 4 bits. Source: Dettmers et al., arXiv 2305.14314."""

    quant_type: str = "nf4"
    """nf4 or fp4."""
    double_quant: bool = True
    """Quantise the quantisation constants too: 4.127 bits a weight in place of 4.5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quant_type not in ("nf4", "fp4"):
            raise ValueError(f"{self.key}.quant_type={self.quant_type!r} must be nf4 or fp4")

    @property
    def adapter(self) -> Adapter:
        """The same over 4-bit weights."""
        return replace(super().adapter, four_bit=True, double_quant=self.double_quant)

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Adds the quantisation.

        Weights are stored in the compute format, without which ZeRO-3 and FSDP2 cannot shard them.
        Source: transformers' bitsandbytes page, "FSDP-QLoRA".
        """
        from transformers import BitsAndBytesConfig

        dtype = kwargs["dtype"]
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=dtype,
        )
        return {**kwargs, "quantization_config": quantization}
