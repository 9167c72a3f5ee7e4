"""The options of LoRA with which an adapter was made, from peft's adapter_config.json."""

import re
from collections.abc import Mapping
from typing import Any, cast

_NAMES = {
    "r": "r", "lora_alpha": "alpha", "target_modules": "target_modules", "use_rslora": "use_rslora", "use_dora": "use_dora",
    "modules_to_save": "modules_to_save", "layers_to_transform": "layers_to_transform", "bias": "bias",
    "exclude_modules": "exclude_modules", "target_parameters": "target_parameters", "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
}  # fmt: skip
"""Key of peft's file -> option. Dropout is left out, because it is not part of an adapter."""
_ALWAYS = {"use_rslora": False, "use_dora": False, "bias": "none"}
_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
_IN_BLOCK = re.compile(r"(?:.*\.)?layers\.\d+\.(?:.*\.)?(\w+)")


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
