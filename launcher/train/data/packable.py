"""Whether a model keeps documents of one row apart."""

import inspect
from typing import Any

from launcher.errors import ConfigError

_APART = {"full_attention", "sliding_attention", "chunked_attention"}
"""transformers' names of layers whose mask is made from positions."""


def check_packable(model: Any) -> None:
    """ConfigError for a model in which a document would see the one before it in its row.

    That is one with layers that carry a state along the row (Mamba, linear attention, convolutions), or that takes no
    position_ids, from which transformers tells the documents.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    others = sorted(set(getattr(config, "layer_types", None) or []) - _APART)
    if others:
        why = f"has layers of {', '.join(others)}, which carry a state from one document to the next"
    elif "position_ids" not in inspect.signature(type(base).forward).parameters:
        why = "takes no position_ids, by which documents are kept apart"
    else:
        return
    raise ConfigError(
        f"trainer.packing=true does not work with {config.model_type}: it {why}; use trainer.packing=false"
    )
