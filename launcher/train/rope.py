"""model.rope_scaling on the ranks: the arguments of from_pretrained that stretch a model's positions."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from launcher.config import ModelConfig
from launcher.errors import ConfigError
from launcher.plan.positions import own_rope, stretched
from launcher.reading import object_in

_KEYS = ("rope_parameters", "max_position_embeddings")


def rope_arguments(config: ModelConfig, where: str, revision: str) -> dict[str, Any]:
    """The arguments for the model in `where`; empty without a factor. ConfigError if its positions cannot be stretched."""
    scaling = config.rope_scaling
    if scaling.factor is None:
        return {}
    values = PreTrainedConfig.get_config_dict(where, revision=revision)[0]
    own, longest = own_rope(values), values.get("max_position_embeddings")
    layered = any(isinstance(one, dict) for one in own.values())
    if longest is None or layered or values.get("position_embedding_type") == "absolute":
        what = "rotary positions of several kinds" if layered else "no rotary positions"
        raise ConfigError(
            f"model.rope_scaling: {config.name_or_path} ({values.get('model_type')}) has {what}; leave it out"
        )
    if "rope_theta" in values:  # where transformers 4 wrote it
        own.setdefault("rope_theta", values["rope_theta"])
    return dict(zip(_KEYS, stretched(scaling, scaling.factor, own, longest), strict=True))


def saved_rope(folder: Path) -> dict[str, Any]:
    """The same arguments for the base of an exported adapter, from the config.json beside it; empty without one."""
    values = object_in(folder / "config.json") or {}
    return {key: values[key] for key in _KEYS if key in values}
