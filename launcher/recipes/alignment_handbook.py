"""The alignment-handbook's recipes: trl's keys, with mixtures of data sets."""

from collections.abc import Mapping
from typing import Any, cast

from launcher.recipes import parts, trl
from launcher.recipes.base import Draft, Step, Tool, absent

_MIXER = "dataset_mixer"


def _finish(draft: Draft) -> None:
    trl.finish(draft)
    evaluates = "trainer.eval_steps" in draft.entries
    for key in ("dataset_mixture",):
        value = draft.recipe.get(key)
        if isinstance(value, dict):
            trl.mixture(draft, key, cast("dict[str, Any]", value), evaluates)
    mixer = draft.recipe.get(_MIXER)
    if isinstance(mixer, dict):
        _mixer(draft, cast("dict[str, Any]", mixer), evaluates)


def _mixer(draft: Draft, mixer: dict[str, Any], evaluates: bool) -> None:
    """Handles the older form: data set -> share of its rows, with one list of splits for all data sets."""
    splits = [str(one) for one in draft.recipe.get("dataset_splits") or ["train"]]
    train = next((one for one in splits if "test" not in one), splits[0])
    test = next((one for one in splits if "test" in one), None)
    parts.sources(draft, (_MIXER, "dataset_splits"), [
        (parts.hub_name(name, None, train), float(weight)) for name, weight in mixer.items()
    ])  # fmt: skip
    if test and evaluates:
        draft.entries.pop("data.eval_path", None)
        draft.put("data.eval_path", parts.hub_name(next(iter(mixer)), None, test))


TABLE: Mapping[str, Step] = {
    **trl.TABLE,
    "dataset_configs": absent("a subset is part of a data set's name: hub:NAME/SUBSET"),
    "auto_insert_empty_system_msg": absent("the chat template decides what replaces a missing system turn"),
}

SPEC = Tool(
    title="alignment-handbook",
    source="https://github.com/huggingface/alignment-handbook, src/alignment/configs.py",
    marks=frozenset({"dataset_mixture", _MIXER, "dataset_splits", "dataset_configs"} | trl.MARKS),
    table=TABLE,
    finish=_finish,
    method=trl.method,
    defaults=trl.SPEC.defaults,
)
