"""The options of LoRA and QLoRA, and those with which an adapter was made, from peft's adapter_config.json."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from launcher.plan.adapter import Adapter
from launcher.plugins.base import Sharing, check_types

_INITS = ("true", "gaussian", "orthogonal", "pissa", "pissa_niter_N", "olora")
_REFUSED = {
    "eva": "it needs a pass over the training data before the adapter is made",
    "loftq": "it quantises the base model in its own way, and the adapter would fit no other copy of the model",
    "corda": "it needs covariances from an earlier pass over selected data",
    "lora_ga": "it needs the gradients of a full model before the adapter is made",
    "mica": "it freezes half of the adapter, which would then be neither counted nor saved as planned",
    "false": "an adapter with random A and B changes the model before the first step",
}
_NAMES = {
    "r": "r", "lora_alpha": "alpha", "target_modules": "target_modules", "use_rslora": "use_rslora", "use_dora": "use_dora",
    "modules_to_save": "modules_to_save", "layers_to_transform": "layers_to_transform", "bias": "bias",
    "exclude_modules": "exclude_modules", "target_parameters": "target_parameters", "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
}  # fmt: skip
"""Key of peft's file -> option. Dropout is left out, because it is not part of an adapter."""
_ALWAYS = {"use_rslora": False, "use_dora": False, "bias": "none"}
_FREE = (
    "r", "alpha", "use_rslora", "target_modules", "exclude_modules", "layers_to_transform", "rank_pattern", "alpha_pattern",
    "init_lora_weights",
)  # fmt: skip
"""Options that may differ between adapters on one base model."""
_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
_IN_BLOCK = re.compile(r"(?:.*\.)?layers\.\d+\.(?:.*\.)?(\w+)")


@dataclass(frozen=True, kw_only=True)
class LoRAOptions:
    """The options of a LoRA adapter, with peft's names."""

    r: int = 16
    """Rank of the update."""
    alpha: Any = 32
    """The update is scaled by alpha / r; an integer or a decimal number."""
    dropout: float = 0.0
    """Dropout before the adapter."""
    target_modules: Any = "all-linear"
    """all-linear, or a list of layer names such as [q_proj, v_proj]."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r), so that a large r does not learn more slowly. Source: Kalajdzievski, arXiv 2312.03732."""
    use_dora: bool = False
    """Also train the norm of each output's weights (DoRA). Source: Liu et al., arXiv 2402.09353."""
    modules_to_save: Any = None
    """List of modules that are fully trained: embed_tokens, lm_head, or norms by name. Tied modules stay tied."""
    init_lora_weights: Any = True
    """true, gaussian, orthogonal, pissa, pissa_niter_N or olora. The last three subtract the initial adapter from the base
    model's weights."""
    layers_to_transform: Any = None
    """Indices of the adapted blocks, from 0; null adapts all blocks."""
    exclude_modules: Any = None
    """List of layer names that are not adapted although target_modules names them, such as [lm_head, layers.0.mlp.up_proj]."""
    target_parameters: Any = None
    """List of parameters without a layer of their own that are adapted too: the stacked experts of a mixture of experts, as
    [experts.gate_up_proj, experts.down_proj]. all-linear adapts these two."""
    router: bool = False
    """Whether the routers of a mixture of experts are adapted too. Tokens then go to other experts than before, so watch
    expert_load; trainer.router_aux_loss_coef keeps the experts evenly used."""
    rank_pattern: Any = None
    """Layer name -> rank, where it differs from r, such as {q_proj: 32, layers.0.mlp.up_proj: 4}."""
    alpha_pattern: Any = None
    """Layer name -> alpha, where it differs from alpha."""
    bias: str = "none"
    """The biases that are trained: none, lora_only (those of adapted layers) or all."""

    def __post_init__(self) -> None:
        check_types(self, self.key)
        if self.r < 1:
            raise ValueError(f"{self.key}.r={self.r} must be at least 1")
        if not _is_number(self.alpha) or self.alpha <= 0:
            raise ValueError(f"{self.key}.alpha={self.alpha} must be a number above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{self.key}.dropout={self.dropout} must be at least 0 and below 1")
        if self.bias not in ("none", "lora_only", "all"):
            raise ValueError(f"{self.key}.bias={self.bias!r} must be none, lora_only or all")
        names: Any = [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules
        for name, value, kind, must in (
            ("target_modules", names, str, "all-linear or a list of layer names"),
            (
                "modules_to_save",
                self.modules_to_save,
                str,
                "a list of module names such as [embed_tokens, lm_head], or null",
            ),
            (
                "layers_to_transform",
                self.layers_to_transform,
                int,
                "a list of block numbers such as [0, 1], or null",
            ),
            (
                "exclude_modules",
                self.exclude_modules,
                str,
                "a list of layer names such as [up_proj], or null",
            ),
            (
                "target_parameters",
                self.target_parameters,
                str,
                "a list of parameter names such as [experts.down_proj], or null",
            ),
        ):
            if value is not None and not _list_of(value, kind):
                raise ValueError(f"{self.key}.{name}={getattr(self, name)!r} must be {must}")
        for name, whole in (("rank_pattern", True), ("alpha_pattern", False)):
            pattern = cast("Mapping[Any, Any] | None", getattr(self, name))
            if pattern is not None and not _is_pattern(pattern, whole=whole):
                number = "a whole number of at least 1" if whole else "a number above 0"
                raise ValueError(
                    f"{self.key}.{name}={pattern} must give layer names {number} each, such as {{q_proj: 8}}, or be null"
                )
        self._check_init()

    def _check_init(self) -> None:
        init, setting = self.init, f"{self.key}.init_lora_weights={self.init}"
        if init in _REFUSED:
            raise ValueError(f"{setting} is not supported: {_REFUSED[init]}; use one of {', '.join(_INITS)}")
        if init not in _INITS[:-2] + _INITS[-1:] and not re.fullmatch(r"pissa_niter_\d+", init):
            raise ValueError(f"{setting} must be one of {', '.join(_INITS)}")
        if init == "orthogonal" and self.r % 2:
            raise ValueError(f"{setting} needs an even {self.key}.r, but it is {self.r}")
        if self.takes_weights and (self.use_dora or self.bias != "none"):
            option = "use_dora=true" if self.use_dora else f"bias={self.bias}"
            raise ValueError(
                f"{setting} does not work with {self.key}.{option}: it is exported as a plain adapter of twice the rank, which "
                "cannot represent it; use init_lora_weights=true"
            )

    @property
    def key(self) -> str:
        """The configuration key of these options."""
        return f"plugins.{type(self).__name__.lower()}"

    @property
    def init(self) -> str:
        """init_lora_weights as text."""
        setting = str(self.init_lora_weights)
        return setting.lower() if isinstance(self.init_lora_weights, bool) else setting

    @property
    def takes_weights(self) -> bool:
        """Whether the initialisation subtracts the initial adapter from the base model's weights."""
        return self.init == "olora" or self.init.startswith("pissa")

    @property
    def sharing(self) -> Sharing:
        """Plain adapters can share a base; what changes the base, or a layer as a whole, cannot."""
        apart = {
            "dropout": (self.dropout, "the trials would draw their masks from one generator"),
            "use_dora": (self.use_dora, "its norms need a pass of their own over each layer's weights"),
            "modules_to_save": (self.modules_to_save, "whole modules of the base model would be trained"),
            "bias": (self.bias != "none", "biases of the base model would be trained"),
            "target_parameters": (self.target_parameters, "stacked experts are adapted by changing the base's tensors"),
            "router": (self.router, "routers are adapted by changing the base's tensors"),
            "init_lora_weights": (self.takes_weights, "it subtracts the initial adapter from the base model's weights"),
        }  # fmt: skip
        why = next(
            (f"{name}={getattr(self, name)}: {why}" for name, (found, why) in apart.items() if found), None
        )
        return Sharing(free=_FREE, why_alone=why)

    @property
    def adapter(self) -> Adapter:
        """The adapter for the parameter counts and the memory estimate."""
        targets = self.target_modules
        names = (targets,) if isinstance(targets, str) else tuple(cast("list[str]", targets))
        return Adapter(
            r=self.r,
            target_modules="all-linear" if targets == "all-linear" else names,
            four_bit=False,
            double_quant=False,
            dropout=self.dropout > 0,
            dora=self.use_dora,
            bias=self.bias,
            layers=None if self.layers_to_transform is None else tuple(self.layers_to_transform),
            modules_to_save=tuple(self.modules_to_save or ()),
            exclude=tuple(self.exclude_modules or ()),
            parameters=tuple(self.target_parameters or ()),
            router=self.router,
            ranks=tuple(cast("dict[str, int]", self.rank_pattern or {}).items()),
        )

    def typed_for(self, plugin: str) -> tuple[str, ...]:
        """The options that differ from their defaults, as typed for that plugin.

        An initialisation that changes the base weights is left out, because 4-bit weights do not allow it.
        """
        typed: list[str] = []
        for field in dataclasses.fields(LoRAOptions):
            value = getattr(self, field.name)
            if value == field.default or (field.name == "init_lora_weights" and self.takes_weights):
                continue
            if isinstance(value, Mapping):
                pairs = cast("Mapping[str, Any]", value).items()
                typed.append(
                    f"'plugins.{plugin}.{field.name}={{{','.join(f'{name}: {one}' for name, one in pairs)}}}'"
                )
            elif isinstance(value, list | tuple):
                items = ",".join(map(str, cast("list[Any]", value)))
                typed.append(f"'plugins.{plugin}.{field.name}=[{items}]'")
            else:
                text = str(value).lower() if isinstance(value, bool) else value
                typed.append(f"plugins.{plugin}.{field.name}={text}")
        return tuple(typed)


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and {type(one) for one in cast("list[Any]", value)} == {kind}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pattern(value: Any, *, whole: bool) -> bool:
    """Whether the value maps names to positive numbers, `whole` ones if asked."""
    if not isinstance(value, Mapping):
        return False
    pairs = cast("Mapping[Any, Any]", value).items()
    return all(
        isinstance(name, str) and _is_number(one) and one > 0 and (not whole or isinstance(one, int))
        for name, one in pairs
    )


def options_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value; what peft writes as empty is None.

    peft writes all-linear as the path of every layer, and experts as parameters; these become layer names or all-linear again.
    """
    found: dict[str, Any] = {ours: values.get(theirs) or _ALWAYS.get(ours) for theirs, ours in _NAMES.items()}
    targets = found["target_modules"]
    if isinstance(targets, list):
        paths = cast("list[str]", targets)
        found["target_modules"] = sorted({_leaf(path) for path in paths})
    parameters = cast("list[str]", found["target_parameters"] or [])
    if set(_EXPERTS) <= set(parameters):
        found["target_modules"] = "all-linear"
        found["target_parameters"] = [one for one in parameters if one not in _EXPERTS] or None
        for pattern in ("rank_pattern", "alpha_pattern"):
            named = cast("dict[str, Any]", found[pattern] or {})
            kept = {name: one for name, one in named.items() if not name.endswith("gate_up_proj")}
            found[pattern] = kept or None
    return found


def _leaf(path: str) -> str:
    match = _IN_BLOCK.fullmatch(path)
    return match[1] if match else path
