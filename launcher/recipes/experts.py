"""Keys of other tools about a router's load-balancing loss and about MLPs in tiles."""

import math
from typing import Any, cast

from launcher.launching.named_model import known_shape
from launcher.methods.registry import find_method
from launcher.plan.passed_on import field_types
from launcher.recipes.base import Draft, Fate, is_off

BALANCE = "router_aux_loss_coef"
_TILE = "trainer.mlp_tile_tokens"
_USUAL_WIDTH = 4096
"""Tokens of a tile where the width of the model is not known here. The size changes memory and time, not the result."""


def balance(draft: Draft, key: str, value: Any) -> None:
    """The weight of the load-balancing loss: our key, or trl's for a method whose loss trl computes."""
    if BALANCE in find_method(draft.method).key_names:
        if is_off(value):
            draft.same(key, "off")
        else:
            draft.carry(key, f"trainer.{BALANCE}", float(value))
    elif field_types(BALANCE, draft.method):
        draft.carry(key, f"trainer.args.{BALANCE}", float(value))
    else:
        draft.absent(
            key, f"a router's load-balancing loss is not part of the loss of trainer.kind={draft.method}"
        )


def balance_of_config(draft: Draft, key: str, value: Any) -> None:
    """The same from values that replace those of the model's config.json."""
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    switch = "output_router_logits"
    for name in given:
        if name not in (switch, BALANCE):
            draft.nested(f"{key}.{name}", Fate.absent, "config.json of the model is used")
    if is_off(given.get(switch)):
        known = {switch, BALANCE} & given.keys()
        draft.same(key, "no load-balancing loss is added" if known else "each of its keys is listed")
    elif given.get(BALANCE) is None:
        draft.lost(
            key, f"the weight of the load-balancing loss is in config.json; set trainer.{BALANCE} to it"
        )
    else:
        balance(draft, key, given[BALANCE])


def unset_balance(draft: Draft) -> None:
    """Notes the weight that trl takes from config.json, where the recipe sets none for a model with experts."""
    name = draft.recipe.get("model_name_or_path")
    known = known_shape(str(name), ()) if name else None
    has_experts = known is not None and known[1].get("num_experts")
    if has_experts and BALANCE not in draft.recipe and BALANCE in find_method(draft.method).key_names:
        why = f"not set, so trl takes the weight in config.json; here none is added: set trainer.{BALANCE}"
        draft.nested(BALANCE, Fate.absent, why)


def tiles(draft: Draft) -> None:
    """trainer.mlp_tile_tokens from axolotl's tiled_mlp and the number of its tiles.

    Source: axolotl, monkeypatch/tiled_mlp: without a number, a sequence has as many tiles as the width of the model fits in it.
    """
    recipe, number = draft.recipe, draft.recipe.get("tiled_mlp_num_shards")
    keys = ("tiled_mlp", "tiled_mlp_num_shards")
    if is_off(recipe.get("tiled_mlp")):
        for key in keys:
            draft.same(key, "off")
        return
    length, rows = draft.get("sequence_len"), draft.get("micro_batch_size")
    if isinstance(number, int) and number > 0 and isinstance(length, int) and isinstance(rows, int):
        draft.carry(
            keys, _TILE, math.ceil(length * rows / number), f"{number} tiles of {length * rows} tokens"
        )
        return
    known = known_shape(str(recipe.get("base_model")), ())
    width = known[1].get("hidden_size") if known else None
    comment = "the width of the model" if width else "the width of the model is usual"
    draft.carry(keys, _TILE, width or _USUAL_WIDTH, comment)
