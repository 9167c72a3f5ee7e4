"""Whether a model keeps the documents of one packed row separate."""

import inspect
from typing import Any

from launcher.errors import ConfigError

_APART = {"full_attention", "sliding_attention", "chunked_attention"}
"""transformers' names of layers whose mask is derived from positions."""


def check_packable(model: Any) -> None:
    """ConfigError for a model in which a document would attend to the previous one in its row.

    Such models have layers that carry a state along the row (Mamba, linear attention, convolutions), or take no position_ids,
    by which transformers separates the documents.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    others = sorted(set(getattr(config, "layer_types", None) or []) - _APART)
    if others:
        why = f"has layers of {', '.join(others)}, which carry a state from one document to the next"
    elif "position_ids" not in inspect.signature(type(base).forward).parameters:
        why = "takes no position_ids, by which documents are separated"
    else:
        return
    raise ConfigError(
        f"trainer.packing=true does not work with {config.model_type}: it {why}; use trainer.packing=false"
    )
