"""How far a model's positions reach, and how model.rope_scaling makes them reach further."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from launcher.config import Config, ModelConfig, RopeScalingConfig, RopeType
from launcher.errors import ConfigError, PlanError
from launcher.plan.facts import Facts

_ORIGINAL = "original_max_position_embeddings"
_OF = {
    "attention_factor": (RopeType.yarn,), "beta_fast": (RopeType.yarn,), "beta_slow": (RopeType.yarn,),
    "low_freq_factor": (RopeType.llama3,), "high_freq_factor": (RopeType.llama3,),
}  # fmt: skip
"""Key of model.rope_scaling -> the kinds that have it. Source: transformers 5.23, modeling_rope_utils.py."""
_DEFAULTS = {RopeType.llama3: {"low_freq_factor": 1.0, "high_freq_factor": 4.0}}
"""What Llama 3.1 has."""


def read_positions(config_json: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(the positions that a model has, those that it was first trained on) by its config.json; None where that says nothing.

    They differ in a model that was stretched already, such as Llama 3.1. ConfigError for one that is not an integer above 0.
    """
    longest, rope = config_json.get("max_position_embeddings"), own_rope(config_json)
    original = rope.get(_ORIGINAL) or config_json.get(_ORIGINAL) or longest
    if not all(one is None or (isinstance(one, int) and one > 0) for one in (longest, original)):
        raise ConfigError(
            f"model.name_or_path: its config.json has max_position_embeddings={longest} and {_ORIGINAL}={original}, which "
            "must be positive integers; copy the model again"
        )
    return longest, original


def own_rope(config_json: Mapping[str, Any]) -> dict[str, Any]:
    """A model's own rotary embedding, under its name in transformers 5 or 4; empty if the config.json has none."""
    found: Any = config_json.get("rope_parameters") or config_json.get("rope_scaling") or {}
    return dict(cast("dict[str, Any]", found)) if isinstance(found, dict) else {}


def check_positions(config: Config, facts: Facts) -> None:
    """PlanError if model.rope_scaling has a key of another kind, or does not reach as far as model.max_length."""
    model, key = config.model, "model.rope_scaling"
    scaling = model.rope_scaling
    if scaling.factor is None:
        if given := [
            one.name
            for one in fields(scaling)
            if one.name in (*_OF, _ORIGINAL) and getattr(scaling, one.name) is not None
        ]:
            raise PlanError(
                f"{key}.{given[0]} has no effect without {key}.factor, by which positions are stretched; set both"
            )
        return
    if not math.isfinite(scaling.factor) or scaling.factor <= 1:
        raise PlanError(
            f"{key}.factor={scaling.factor:g} must be greater than 1; leave {key} out to change nothing"
        )
    for name, kinds in _OF.items():
        if getattr(scaling, name) is not None and scaling.rope_type not in kinds:
            raise PlanError(
                f"{key}.{name} belongs to rope_type={kinds[0].name}, and this is {scaling.rope_type.name}; leave it out"
            )
    if scaling.rope_type is RopeType.dynamic and config.strategy.sequence_parallel_size > 1:
        raise PlanError(
            f"{key}.rope_type=dynamic depends on the length of a row, and with strategy.sequence_parallel_size="
            f"{config.strategy.sequence_parallel_size} a rank has a part of it; use rope_type=yarn"
        )
    given = scaling.original_max_position_embeddings
    original = facts.original_positions if given is None else given
    if original is not None and original < 1:
        raise PlanError(f"{key}.{_ORIGINAL}={original} must be at least 1")
    if original is not None and (reach := int(original * scaling.factor)) < model.max_length:
        needed = math.ceil(model.max_length / original)
        raise PlanError(
            f"model.max_length={model.max_length} is longer than the {reach} positions of {key} (factor {scaling.factor:g} of "
            f"{original}); set {key}.factor={needed}, or model.max_length={reach}"
        )


def beyond(model: ModelConfig, facts: Facts) -> str | None:
    """A warning if sequences can be longer than the model's positions; None otherwise."""
    longest, original = facts.positions, facts.original_positions
    if model.rope_scaling.factor is not None or not longest or not original or model.max_length <= longest:
        return None
    return (
        f"model.max_length={model.max_length} is longer than the {longest} positions of this model, and its predictions are "
        f"poor beyond them; set model.max_length={longest}, or 'model.rope_scaling={{rope_type: yarn, factor: "
        f"{math.ceil(model.max_length / original)}}}'"
    )


def stretched(
    scaling: RopeScalingConfig, factor: float, own: Mapping[str, Any], longest: int
) -> tuple[dict[str, Any], int]:
    """(rope_parameters, max_position_embeddings) of a model's config for this scaling.

    `own`: the model's rope_parameters, of which the base frequency stays. `longest`: its max_position_embeddings.
    """
    original = scaling.original_max_position_embeddings or own.get(_ORIGINAL) or longest
    given = {
        field.name: value
        for field in fields(scaling)
        if field.name in _OF and (value := getattr(scaling, field.name)) is not None
    }
    kept = {name: own[name] for name in ("rope_theta", "partial_rotary_factor") if own.get(name) is not None}
    values = {
        **kept,
        "rope_type": scaling.rope_type.name,
        "factor": factor,
        _ORIGINAL: original,
        **_DEFAULTS.get(scaling.rope_type, {}),
        **given,
    }
    return values, int(original * factor)
