"""The data sets of axolotl's recipes: where their rows are, and how they are read."""

from collections.abc import Mapping
from typing import Any, cast

from launcher.data.speakers import SPEAKERS
from launcher.recipes import parts
from launcher.recipes.base import Draft, Fate, is_off

_LISTS = ("datasets", "pretraining_dataset")


def data_sets(draft: Draft) -> None:
    for key in _LISTS:
        value = draft.recipe.get(key)
        if is_off(value):
            continue
        listed: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [{"path": value}]
        sets = [cast("dict[str, Any]", one) for one in listed if isinstance(one, dict)]
        found = [(_name(one), 1.0) for one in sets]
        parts.sources(draft, (key,), found)
        for number, one in enumerate(sets):
            _set(draft, f"{key}[{number}]", one)
    if draft.recipe.get("test_datasets"):
        first = cast("dict[str, Any]", draft.recipe["test_datasets"][0])
        draft.entries.pop("data.eval_path", None)
        draft.carry("test_datasets", "data.eval_path", _name(first))
    parts.held_out(draft, "val_set_size")


def _name(one: dict[str, Any]) -> str:
    """The data set as this launcher names it."""
    return parts.hub_name(str(one.get("path") or one.get("name")), one.get("name"), one.get("split"))


_DETECTED = (
    "type", "ds_type", "message_property_mappings", "message_field_role", "message_field_content", "field_messages",
    "conversation", "field_chosen", "field_rejected",
)  # fmt: skip

_NAMED = ("path", "name", "split")


def _set(draft: Draft, where: str, one: Mapping[str, Any]) -> None:
    """Notes the keys of one data set; the format of its rows is detected from the rows."""
    for key, value in one.items():
        if key in _NAMED or value is None:
            continue
        if key in ("field_messages", "field", "text_column"):
            ours = "messages" if key == "field_messages" else "text"
            if value in ("messages", "conversations", "text"):
                draft.nested(f"{where}.{key}", Fate.same, "the column is known by this name")
            else:
                draft.put("data.columns", {ours: str(value)})
                draft.nested(f"{where}.{key}", Fate.carried, "", "data.columns")
        elif key == "type" and isinstance(value, dict):
            draft.nested(
                f"{where}.type",
                Fate.lost,
                "a custom prompt; data.columns maps its fields",
            )
        elif key == "roles" and isinstance(value, dict):
            _roles(draft, where, cast("dict[str, Any]", value))
        elif key in ("field_thinking", "template_thinking_key") and value in (
            "thinking",
            "reasoning_content",
        ):
            draft.nested(f"{where}.{key}", Fate.same, "a turn's thoughts are known by this name")
        elif key in ("data_files", "revision"):
            draft.nested(
                f"{where}.{key}", Fate.absent, "a hub data set is named hub:NAME[/SUBSET][:SPLIT][@REVISION]"
            )
        elif key in _DETECTED:
            draft.nested(f"{where}.{key}", Fate.same, "the format is detected from the keys of each row")
        else:
            draft.nested(
                f"{where}.{key}",
                Fate.absent,
                "rows are read as they are; data.columns maps keys",
            )


def _roles(draft: Draft, where: str, roles: dict[str, Any]) -> None:
    """data.roles: the speakers of each role whose names are not known here."""
    named = {
        str(speaker): role
        for role, names in roles.items()
        if isinstance(names, list)
        for speaker in cast("list[Any]", names)
    }
    others = {speaker: role for speaker, role in named.items() if speaker.lower() not in SPEAKERS}
    if others:
        draft.put("data.roles", others)
        draft.nested(f"{where}.roles", Fate.carried, "", "data.roles")
    else:
        draft.nested(f"{where}.roles", Fate.same, "the speakers are known by these names")
