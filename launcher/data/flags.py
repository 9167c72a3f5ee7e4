"""Flags of turns that say whether they are trained on, as other tools name them; here it is `weight`, 1 or 0."""

from typing import Any

from launcher.data.findings import BrokenRow

_TRAINED = ("train", "training", "trainable", "loss")
"""True for a turn that is trained on. Source: axolotl's message_field_training, ms-swift's loss."""
_MASKED = ("masked", "mask")
"""True for a turn that is not trained on. Source: torchtune's Message."""
_WITHIN = ("train_detail", "training_detail")
FLAGS = frozenset((*_TRAINED, *_MASKED, *_WITHIN))


def as_weight(turn: dict[str, Any], role: str) -> dict[str, Any]:
    """The turn with `weight` for its flag; BrokenRow for a flag that cannot be obeyed. `role`: the one that its name means."""
    left = {name: value for name, value in turn.items() if name not in FLAGS}
    for name in _WITHIN:
        if turn.get(name):
            raise BrokenRow(
                "weight",
                f"{name} trains parts of a turn, and here a turn is trained on as a whole or not at all; write weight 0 or 1 "
                f"instead, or take it out: jq -c 'del(.. | objects | .{name}?)' OLD.jsonl > NEW.jsonl",
            )
    for name in (*_TRAINED, *_MASKED):
        value = turn.get(name)
        if value is None:
            continue
        if value not in (0, 1):
            raise BrokenRow(
                "weight", f"{name} {value!r} of a turn must be true or false; write weight 0 or 1"
            )
        weight = int(bool(value) != (name in _MASKED))
        if turn.get("weight", weight) not in (weight, None):
            raise BrokenRow(
                "weight", f"{name}={value!r} and weight={turn['weight']!r} disagree; take one out"
            )
        if role == "assistant":
            left["weight"] = weight
        elif weight and name not in _MASKED:
            raise BrokenRow(
                "weight",
                f"a {role} turn has {name}={value!r}, but only assistant turns are trained on; take it out: jq -c "
                f"'del(.. | objects | .{name}?)' OLD.jsonl > NEW.jsonl takes it out of all turns",
            )
    return left
