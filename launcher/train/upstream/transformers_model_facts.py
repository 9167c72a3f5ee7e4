"""transformers 5.23: facts of a loaded model that are private.

Symptom: no public name tells the classes of its blocks and of its routers, the attention kernel that it uses, or the hub's
commit of its files.
"""

from typing import Any


def block_names(model: Any) -> set[str]:
    """Class names of the model's blocks, which sharding must not split; empty if the model does not tell them."""
    return set(getattr(model, "_no_split_modules", None) or ())


def router_classes(model: Any) -> set[type]:
    """Classes of the model's routers whose first output transformers can record as their logits; empty in a dense model."""
    found: set[type] = set()
    for module in model.modules():
        known = (getattr(type(module), "_can_record_outputs", None) or {}).get("router_logits")
        for one in known if isinstance(known, list) else [known]:
            if getattr(one, "index", None) == 0:
                found.add(one.target_class)
    return found


def attention_of(model: Any) -> str:
    """Name of the attention kernel that the model uses, such as sdpa."""
    return str(model.config.get_text_config()._attn_implementation)


def commit_of(model: Any) -> str | None:
    """The commit of the hub repository from which the model was loaded; None for other sources."""
    return getattr(model.config, "_commit_hash", None)


def named_after(model: Any, source: str, commit: str | None) -> None:
    """Names the source in a model that was loaded from a copy, so that adapters and exports name it, not the copy."""
    model.name_or_path = model.config._name_or_path = source
    if commit is not None:
        model.config._commit_hash = commit
