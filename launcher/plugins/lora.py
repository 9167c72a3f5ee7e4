"""LoRA: train a small adapter while the weights of the model stay frozen.

Memory: gradients and optimizer state shrink to those of the adapter. docs/guide/plugins.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from launcher.errors import PlanError
from launcher.packages import Package
from launcher.plan.adapter import Adapter, count_adapter
from launcher.plan.blocks import ROUTERS, is_router
from launcher.plan.model import linear_shapes
from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin
from launcher.plugins.lora_options import LoRAOptions

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_STACKED = ("gate_up_proj", "down_proj")
"""Parameters that hold all experts of a block in transformers 5."""


@dataclass(frozen=True, kw_only=True)
class LoRA(LoRAOptions, Plugin):
    """Low-rank adapters on linear layers. Source: Hu et al., arXiv 2106.09685."""

    load_in: Any = None
    """8bit stores the frozen linear layers in 8 bits (bitsandbytes); null keeps the format of the forward pass."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.load_in not in (None, "8bit"):
            raise ValueError(
                f"{self.key}.load_in={self.load_in!r} must be 8bit or null; for 4 bits use plugin=[qlora]"
            )
        if self.load_in and self.takes_weights:
            raise ValueError(
                f"{self.key}.load_in=8bit cannot change the base model's weights, as {self.key}.init_lora_weights={self.init} "
                f"does; use {self.key}.init_lora_weights=true"
            )

    @property
    def adapter(self) -> Adapter:
        """The adapter, over 8-bit weights if configured."""
        return replace(super().adapter, eight_bit=self.load_in == "8bit")

    @property
    def packages(self) -> tuple[Package, ...]:
        """bitsandbytes for 8-bit weights."""
        install = "pip install bitsandbytes"
        return (Package(module="bitsandbytes", name="bitsandbytes", install=install),) if self.load_in else ()

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments with 8-bit quantisation, if configured. Source: transformers' bitsandbytes page, "LLM.int8()"."""
        if not self.load_in:
            return kwargs
        from transformers import BitsAndBytesConfig

        return {**kwargs, "quantization_config": BitsAndBytesConfig(load_in_8bit=True)}

    @property
    def traits(self) -> Traits:
        """The same adapter can be trained over 4-bit weights by QLoRA."""
        return Traits(moves_weights=self.takes_weights, four_bit=("qlora", *self.typed_for("qlora")))

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The plan with the number of trained parameters, and with frozen weights in the format of the forward pass."""
        shape = plan.facts.architecture
        chat = plan.facts.chat
        adapter = replace(self.adapter, tokens=len(chat.trained) if chat else 0)
        count = count_adapter(shape, adapter, key=self.key) if shape else None
        if shape and self.takes_weights:
            narrow = min(min(linear_shapes(shape)[name]) for name in self._names(linear_shapes(shape)))
            if self.r > narrow:
                raise PlanError(
                    f"{self.key}.r={self.r} exceeds the width {narrow} of the narrowest adapted layer, from which "
                    f"{self.key}.init_lora_weights={self.init} takes its vectors; use r={narrow} or less"
                )
        dtype = {"bf16": "bfloat16", "fp32": "float32"}[plan.precision]
        head = plan.outputs * shape.hidden_size if shape else 0
        model = replace(plan.model, trainable_parameters=count and count + head)
        return replace(plan, model=model, weights_dtype=dtype, adapter=adapter)

    def _names(self, linears: dict[str, Any]) -> list[str]:
        targets = self.adapter.targets
        if targets == "all-linear":
            return list(linears)
        return [targets] if isinstance(targets, str) else targets

    def on_model(self, model: Any) -> Any:
        """The model with its adapters; everything else is frozen."""
        from peft import LoraConfig, get_peft_model
        from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

        four_bit = getattr(model, "is_loaded_in_4bit", False)
        reward = hasattr(model, "score")  # its new head is fully trained and saved with the adapter
        saved = [
            str(name) for name in (*(self.modules_to_save or ()), *(["score"] if reward else []))
        ] or None
        pattern = _fused(model, 2 * self.r) if self._all_experts(model) else {}
        scale = _fused(model, 2 * self.alpha) if self._all_experts(model) else {}
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self._targets(model),
            exclude_modules=None if self.exclude_modules is None else list(self.exclude_modules),
            target_parameters=self._parameters(model),
            rank_pattern={**pattern, **(self.rank_pattern or {})},
            alpha_pattern={**scale, **(self.alpha_pattern or {})},
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            modules_to_save=saved,
            init_lora_weights=True if self.init == "true" else cast("Any", self.init),
            layers_to_transform=None if self.layers_to_transform is None else list(self.layers_to_transform),
            bias=cast("Any", self.bias),
            trainable_token_indices=_trained_tokens(model, saved or ()),
            # otherwise an embedding would be trained separately from its tied head, and differ from it in the export
            ensure_weight_tying=bool(self.modules_to_save)
            and bool(getattr(model.config, "tie_word_embeddings", False)),
            task_type="SEQ_CLS" if reward else "CAUSAL_LM",
        )
        # ZeRO-3 gathers several tensors in one buffer with the number format of the first, so all must have the same format
        zero3: bool = is_deepspeed_zero3_enabled()  # pyright: ignore[reportUnknownVariableType]
        adapted = get_peft_model(model, config, autocast_adapter_dtype=four_bit or not zero3)
        if start := getattr(model, "start_adapter", None):
            from launcher.plugins.on_rank.initial import load_weights

            load_weights(adapted, start)
        if self.takes_weights:
            from launcher.plugins.on_rank.initial import remember_initial

            remember_initial(adapted)
        return adapted

    def _targets(self, model: Any) -> Any:
        """Names of the adapted layers; peft accepts `all-linear` only if all blocks are adapted."""
        if self.target_modules != "all-linear":
            named = [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules
            return [*named, *(_router_layers(model) if self.router else ())]
        if self.layers_to_transform is None and not _experts(model):
            return "all-linear"
        from torch import nn

        head = model.get_output_embeddings()
        linears = {
            name.rpartition(".")[2]
            for name, one in model.named_modules()
            if isinstance(one, nn.Linear) and one is not head
        }
        return sorted(linears - ROUTERS if _experts(model) and not self.router else linears)

    def _all_experts(self, model: Any) -> bool:
        return self.target_modules == "all-linear" and _experts(model)

    def _parameters(self, model: Any) -> list[str] | None:
        """Names of the adapted parameters: all-linear also adapts the stacked experts, which are not layers, and `router`
        adapts the routers."""
        named: list[str] = list(self.target_parameters or ())
        if self.router:
            layers = {f"{name}.weight" for name in _router_layers(model)}
            named += sorted(
                {
                    ".".join(name.split(".")[-2:])
                    for name, one in model.named_parameters()
                    if is_router(name)
                    and name.endswith(".weight")
                    and len(getattr(one, "ds_shape", one.shape)) == 2
                }
                - set(named)
                - {".".join(name.split(".")[-2:]) for name in layers}
            )
        stacked = [f"experts.{name}" for name in _STACKED] if self._all_experts(model) else []
        have = [name for name, _ in model.named_parameters()]
        found = [
            name for name in stacked if name not in named and any(one.endswith(f".{name}") for one in have)
        ]
        return [*found, *named] or None

    def on_trainer(self, trainer: Any) -> Any:
        """The trainer, whose trained parameters are cast to fp32 if a smaller format would round their updates to zero.

        trl casts adapters over 4-bit weights to bf16, except for DoRA's magnitudes, and FSDP2 accepts only one format. Fully
        trained modules have the format of the base model. DeepSpeed keeps fp32 copies itself.
        """
        mixed = self.adapter.four_bit and (self.use_dora or self.modules_to_save)
        whole = self.modules_to_save and trainer.args.bf16
        if mixed or (whole and not trainer.is_deepspeed_enabled):
            for parameter in trainer.model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()
        return trainer


def _trained_tokens(model: Any, whole: Iterable[str]) -> dict[str, list[int]] | None:
    """Module -> its rows that are trained: those of a chat template's tokens; None if there are none.

    A head that is tied to the embedding and a module that is trained whole are left out.
    """
    tokens: list[int] = getattr(model, "trained_tokens", [])
    tables = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not tables[0].weight:
        tables.append(head)
    names = [
        name.rpartition(".")[2] for table in tables for name, one in model.named_modules() if one is table
    ]
    found = {name: list(tokens) for name in names if tokens and name not in whole}
    return found or None


def _experts(model: Any) -> bool:
    """Whether the model is a mixture of experts that are stacked in parameters."""
    return any(name.endswith(f".experts.{_STACKED[0]}") for name, _ in model.named_parameters())


def _router_layers(model: Any) -> list[str]:
    """Paths of the routers that are linear layers; most are parameters of a module of their own."""
    from torch import nn

    return [name for name, one in model.named_modules() if is_router(name) and isinstance(one, nn.Linear)]


def _fused(model: Any, value: Any) -> dict[str, Any]:
    """The pattern that gives this value to the fused gate and up projection: two layers in one need twice the rank."""
    return {rf".*\.{_STACKED[0]}": value} if _experts(model) else {}
