"""LoRA: train a small adapter beside frozen weights.

Memory: gradients and optimizer state shrink to what the adapter trains. docs/guide/plugins.md has the figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from launcher.errors import PlanError
from launcher.plan.adapter import Adapter, count_adapter
from launcher.plan.model import linear_shapes
from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_INITS = ("true", "gaussian", "orthogonal", "pissa", "pissa_niter_N", "olora")
_REFUSED = {
    "eva": "it needs a pass over the training data before the adapter is made",
    "loftq": "it quantises the base model its own way, and the adapter would fit no other copy of it",
    "corda": "it needs covariances that a pass over chosen data has collected before",
    "lora_ga": "it needs the gradients of a full model before the adapter is made",
    "mica": "it freezes half of the adapter, which then is neither counted nor saved as planned",
    "false": "an adapter of random A and B changes the model before the first step",
}


def moves_weights(init: str) -> bool:
    """Whether this initialisation changes the base model's weights."""
    return init == "olora" or init.startswith("pissa")


@dataclass(frozen=True, kw_only=True)
class LoRA(Plugin):
    """Low-rank adapters on linear layers. Source: Hu et al., arXiv 2106.09685. Options have peft's names."""

    r: int = 16
    """Rank of the update."""
    alpha: int = 32
    """The update is scaled by alpha / r."""
    dropout: float = 0.0
    """Dropout before the adapter."""
    target_modules: Any = "all-linear"
    """all-linear, or a list of layer names such as [q_proj, v_proj]."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r), so that a large r does not learn more slowly. Source: Kalajdzievski, arXiv 2312.03732."""
    use_dora: bool = False
    """Also train the length of each output's weights (DoRA). Source: Liu et al., arXiv 2402.09353."""
    modules_to_save: Any = None
    """List of modules that are trained whole: embed_tokens, lm_head, or norms by name. Tied ones stay tied."""
    init_lora_weights: Any = True
    """true, gaussian, orthogonal, pissa, pissa_niter_N or olora. The last three take a part out of the base model's weights."""
    layers_to_transform: Any = None
    """Numbers of the blocks that are adapted, from 0; null adapts all."""
    bias: str = "none"
    """none, lora_only (of adapted layers) or all: which of the model's biases are trained."""

    def __post_init__(self) -> None:
        check_types(self, self.key)
        if self.r < 1:
            raise ValueError(f"{self.key}.r={self.r} must be at least 1")
        if self.alpha < 1:
            raise ValueError(f"{self.key}.alpha={self.alpha} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{self.key}.dropout={self.dropout} must be at least 0 and below 1")
        if self.bias not in ("none", "lora_only", "all"):
            raise ValueError(f"{self.key}.bias={self.bias!r} must be none, lora_only or all")
        names: Any = [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules
        if not _list_of(names, str):
            told = f"{self.key}.target_modules={self.target_modules!r}"
            raise ValueError(f"{told} must be all-linear or a list of layer names")
        if self.modules_to_save is not None and not _list_of(self.modules_to_save, str):
            told = f"{self.key}.modules_to_save={self.modules_to_save!r}"
            raise ValueError(
                f"{told} must be a list of module names such as [embed_tokens, lm_head], or null"
            )
        if self.layers_to_transform is not None and not _list_of(self.layers_to_transform, int):
            told = f"{self.key}.layers_to_transform={self.layers_to_transform!r}"
            raise ValueError(f"{told} must be a list of block numbers such as [0, 1], or null")
        self._check_init()

    def _check_init(self) -> None:
        init, told = self.init, f"{self.key}.init_lora_weights={self.init}"
        if init in _REFUSED:
            raise ValueError(f"{told} is not supported: {_REFUSED[init]}; use one of {', '.join(_INITS)}")
        if init not in _INITS[:-2] + _INITS[-1:] and not re.fullmatch(r"pissa_niter_\d+", init):
            raise ValueError(f"{told} must be one of {', '.join(_INITS)}")
        if init == "orthogonal" and self.r % 2:
            raise ValueError(f"{told} needs an even {self.key}.r, and it is {self.r}")
        if moves_weights(init) and (self.use_dora or self.bias != "none"):
            option = "use_dora=true" if self.use_dora else f"bias={self.bias}"
            raise ValueError(
                f"{told} does not go with {self.key}.{option}: it is exported as a plain adapter of twice the rank, which "
                "cannot hold that; use init_lora_weights=true"
            )

    @property
    def key(self) -> str:
        """Where a user sets this plugin."""
        return f"plugins.{type(self).__name__.lower()}"

    @property
    def init(self) -> str:
        """init_lora_weights as text."""
        told = str(self.init_lora_weights)
        return told.lower() if isinstance(self.init_lora_weights, bool) else told

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Counts what is trained and lets the frozen weights be loaded in the forward pass's format."""
        shape = plan.facts.architecture
        count = count_adapter(shape, self.adapter, key=self.key) if shape else None
        if shape and moves_weights(self.init):
            narrow = min(min(linear_shapes(shape)[name]) for name in self._names(linear_shapes(shape)))
            if self.r > narrow:
                raise PlanError(
                    f"{self.key}.r={self.r} is more than the {narrow} of the narrowest adapted layer, from which "
                    f"{self.key}.init_lora_weights={self.init} takes its vectors; use r={narrow} or less"
                )
        dtype = {"bf16": "bfloat16", "fp32": "float32"}[plan.precision]
        head = shape.hidden_size if shape and plan.trainer == "reward" else 0
        model = replace(plan.model, trainable_parameters=count and count + head)
        return replace(plan, model=model, weights_dtype=dtype, adapter=self.adapter)

    def _names(self, linears: dict[str, Any]) -> list[str]:
        targets = self.adapter.targets
        if targets == "all-linear":
            return list(linears)
        return [targets] if isinstance(targets, str) else targets

    @property
    def adapter(self) -> Adapter:
        """What the counts and the memory estimate need of it."""
        targets = self.target_modules
        whole = targets == "all-linear"
        names = (targets,) if isinstance(targets, str) else tuple(cast("list[str]", targets))
        return Adapter(
            r=self.r,
            target_modules="all-linear" if whole else names,
            four_bit=False,
            double_quant=False,
            dropout=self.dropout > 0,
            dora=self.use_dora,
            bias=self.bias,
            layers=None if self.layers_to_transform is None else tuple(self.layers_to_transform),
            modules_to_save=tuple(self.modules_to_save or ()),
        )

    def on_model(self, model: Any) -> Any:
        """The model with its adapters, everything else frozen."""
        from peft import LoraConfig, get_peft_model
        from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

        four_bit = getattr(model, "is_loaded_in_4bit", False)
        reward = hasattr(model, "score")  # its new head is trained whole and kept with the adapter
        saved = [
            str(name) for name in (*(self.modules_to_save or ()), *(["score"] if reward else []))
        ] or None
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self._targets(model),
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            modules_to_save=saved,
            init_lora_weights=True if self.init == "true" else cast("Any", self.init),
            layers_to_transform=None if self.layers_to_transform is None else list(self.layers_to_transform),
            bias=cast("Any", self.bias),
            # an embedding that is trained apart from the head tied to it would come apart in the export
            ensure_weight_tying=bool(self.modules_to_save)
            and bool(getattr(model.config, "tie_word_embeddings", False)),
            task_type="SEQ_CLS" if reward else "CAUSAL_LM",
        )
        # ZeRO-3 gathers several tensors in one buffer of the first one's format, so all must have the same
        zero3: bool = is_deepspeed_zero3_enabled()  # pyright: ignore[reportUnknownVariableType]
        adapted = get_peft_model(model, config, autocast_adapter_dtype=four_bit or not zero3)
        if moves_weights(self.init):
            from launcher.plugins.on_rank.initial import remember_initial

            remember_initial(adapted)
        return adapted

    def _targets(self, model: Any) -> Any:
        """Names of layers; peft takes `all-linear` only where all blocks are adapted."""
        if self.target_modules != "all-linear":
            return (
                [self.target_modules] if isinstance(self.target_modules, str) else list(self.target_modules)
            )
        if self.layers_to_transform is None:
            return "all-linear"
        from torch import nn

        head = model.get_output_embeddings()
        linears = [
            name for name, one in model.named_modules() if isinstance(one, nn.Linear) and one is not head
        ]
        return sorted({name.rpartition(".")[2] for name in linears})

    def on_trainer(self, trainer: Any) -> Any:
        """Trained parameters in fp32 where a smaller format would swallow their updates.

        trl casts adapters over 4-bit weights to bf16, but for DoRA's magnitudes, and FSDP2 takes one format only. Whole
        modules have the base model's. DeepSpeed keeps fp32 copies itself.
        """
        mixed = self.adapter.four_bit and (self.use_dora or self.modules_to_save)
        whole = self.modules_to_save and trainer.args.bf16
        if mixed or (whole and not trainer.is_deepspeed_enabled):
            for parameter in trainer.model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()
        return trainer


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and {type(one) for one in cast("list[Any]", value)} == {kind}
