"""A recipe of another tool -> a configuration of this launcher, with the fate of each of its keys."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launcher.config import TrainerConfig
from launcher.config.other_names import counterpart
from launcher.errors import ConfigError
from launcher.launching.own_file.write import Entry, to_text
from launcher.methods.registry import METHODS, find_method
from launcher.plan.passed_on import field_types, refused
from launcher.recipes.arguments import TEMPLATE_FILE
from launcher.recipes.base import MISREAD, Draft, Fate, Lost, Outcome, Step, Tool
from launcher.recipes.beside import ACCELERATE, DEEPSPEED, world_of
from launcher.recipes.fit import fit
from launcher.recipes.limits import leave_out_invalid
from launcher.recipes.recognise import load, recognise
from launcher.recipes.registry import TOOLS

_FIRST = ("kind", "name_or_path", "path", "sources", "global_batch_size", "engine")
_ORDER = (
    "name",
    "model",
    "data",
    "trainer",
    "batch",
    "strategy",
    "plugins",
    "resources",
    "tracker",
    "seed",
    "resume",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRequest:
    """The files to convert, and the options of the conversion."""

    file: Path
    tool: str | None = None
    method: str | None = None
    gpus: int | None = None
    nodes: int | None = None
    accelerate: Path | None = None
    deepspeed: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeConversion:
    """A recipe as this launcher's configuration."""

    tool: Tool
    method: str
    text: str
    outcomes: tuple[Outcome, ...]
    stand_ins: Mapping[str, str]
    """Our keys with placeholder values -> what the user must give."""
    template: str | None
    """The text of the recipe's chat template, for a separate file next to the configuration; None if it has no such text."""

    def of(self, *fates: Fate) -> list[Outcome]:
        """The keys with one of these fates."""
        return [one for one in self.outcomes if one.fate in fates]


def convert(asked: ConversionRequest, out: Path) -> RecipeConversion:
    """The configuration; ConfigError for a file that is not a recipe of a known tool."""
    recipe = load(asked.file)
    tool = TOOLS.find(asked.tool) if asked.tool else recognise(recipe, asked.file)
    if other := tool.trains_nothing(recipe):
        raise ConfigError(f"{asked.file} {other}")
    accelerate = load(asked.accelerate) if asked.accelerate else None
    nodes, gpus = world_of(accelerate, asked.gpus, asked.nodes)
    method = asked.method or _method(tool, recipe, asked.file)
    if method not in METHODS.names():
        raise ConfigError(
            f"{asked.file}: its method {method} is not one of {', '.join(METHODS.names())}; choose the nearest with --method"
        )
    draft = Draft(
        recipe={key: value for key, value in recipe.items() if value is not None},
        defaults=tool.defaults(method),
        method=method,
        world=nodes * gpus,
        read_beside=lambda name: _beside(asked.file, name),
    )
    _fill(draft, tool, asked.file)
    for path, table in ((asked.accelerate, ACCELERATE), (asked.deepspeed, DEEPSPEED)):
        if path is not None:
            _also(draft, path, load(path), table)
    draft.put("resources.nodes", nodes)
    draft.put("resources.gpus_per_node", gpus)
    _complete(draft, asked.file)
    fit(draft)
    leave_out_invalid(draft)
    unset = {
        key: Outcome(key=key, fate=Fate.same, why="not set") for key, value in recipe.items() if value is None
    }
    outcomes = unset | draft.outcomes
    template = _template(draft, recipe, out)
    ordered = [outcomes[key] for key in (*recipe, *outcomes) if key in outcomes]
    listed = tuple(dict.fromkeys(ordered))
    return RecipeConversion(
        tool=tool,
        method=method,
        text=_text(draft, tool, asked, listed, out),
        outcomes=listed,
        stand_ins=draft.stand_ins,
        template=template,
    )


def _method(tool: Tool, recipe: Mapping[str, Any], file: Path) -> str:
    """The method that the recipe names, otherwise one in its path, as in dpo/config.yaml, otherwise supervised fine-tuning."""
    parts = [part for part in (*reversed(file.parts[:-1]), file.stem) if part in METHODS.own_names()]
    return tool.method(recipe) or next(iter(parts), "") or TrainerConfig().kind


def _fill(draft: Draft, tool: Tool, file: Path) -> None:
    for key, value in draft.defaults.items():
        if key not in draft.recipe and key in tool.table:
            tool.table[key](draft, key, value)
    for ours, entry in draft.entries.items():
        draft.entries[ours] = replace(entry, comment=f"the default of {tool.title}")
    try:
        tool.finish(draft)
    except MISREAD as error:
        raise ConfigError(
            f"{file}: a value does not have the form that {tool.title} reads ({error}); correct it"
        ) from None
    for key, value in draft.recipe.items():
        if key not in draft.outcomes:
            _take(_step(tool.table, key), draft, key, value)
        if key not in draft.outcomes:
            draft.same(key, "its value does not change the run")


def _take(step: Step, draft: Draft, key: str, value: Any) -> None:
    """Runs a step; a value that does not have the tool's form is lost."""
    try:
        step(draft, key, value)
    except MISREAD:
        draft.lost(key, f"{value!r} does not have the form that the tool reads")


def _step(table: Mapping[str, Step], key: str) -> Step:
    """The step for a key: the one in the tool's table, otherwise the one that looks the name up among those of all tools."""
    found = table.get(key)
    return found if found is not None else _by_name


def _by_name(draft: Draft, key: str, value: Any) -> None:
    other = counterpart(key)
    types = field_types(key, draft.method)
    if type(value) in types:
        draft.carry(key, f"trainer.args.{key}", value)
    elif types:
        draft.lost(key, f"trainer.args.{key} cannot be {value!r}")
    elif reason := refused(key, draft.method):
        draft.absent(key, reason)
    elif other is None or "." in key:
        draft.outcomes[key] = Outcome(key=key, fate=Fate.unknown, why="no key of this name is known")
    elif other.key is None:
        draft.absent(key, other.note)
    else:
        try:
            given = other.values.get(str(value).lower(), value)
            draft.carry(key, other.key, {"true": True, "false": False}.get(str(given).lower(), given))
        except Lost as lost:
            draft.lost(key, str(lost))


def _also(draft: Draft, path: Path, recipe: dict[str, Any], table: Mapping[str, Step]) -> None:
    """Adds a file that comes with the recipe: the values that its keys set, and the fates of its keys."""
    inner = Draft(recipe=recipe, defaults={}, method=draft.method, world=draft.world)
    for key, value in recipe.items():
        if value is None:
            inner.same(key, "not set")
        elif key in table and key not in inner.outcomes:
            _take(table[key], inner, key, value)
        elif key not in inner.outcomes:
            inner.nested(key, Fate.unknown, "no key of this name is known")
    draft.entries |= inner.entries
    for key, one in inner.outcomes.items():
        draft.outcomes[f"{path.name}: {key}"] = replace(one, key=f"{path.name}: {key}")


def _complete(draft: Draft, file: Path) -> None:
    """Sets what a run needs but the recipe does not say."""
    draft.put("trainer.kind", draft.method, find_method(draft.method).title)
    if "model.name_or_path" not in draft.entries:
        raise ConfigError(f"{file} names no model; add it, and convert again")
    if "data.path" not in draft.entries and "data.sources" not in draft.entries:
        draft.stand_in("data.path", "train.jsonl", "the recipe names no data; give a file, or hub:NAME")
    draft.put("data.eval_path", None)
    if "reward_functions" in find_method(draft.method).key_names:
        target = {"_target_": "my_rewards.score"}
        draft.stand_in(
            "trainer.reward_functions",
            [target],
            "name your function that scores answers: docs/guide/methods.md",
        )
    draft.put("plugins.sharded_checkpoint", True)


def _template(draft: Draft, recipe: Mapping[str, Any], out: Path) -> str | None:
    """The recipe's chat template if it is a text. The draft then names the file next to the configuration."""
    entry = draft.entries.get("model.chat_template")
    if entry is None or entry.value != TEMPLATE_FILE:
        return None
    draft.entries["model.chat_template"] = replace(entry, value=str(template_path(out)))
    carried = [one.key for one in draft.outcomes.values() if one.ours == "model.chat_template"]
    return str(recipe[carried[-1]])


def template_path(out: Path) -> Path:
    """The file for a recipe's chat template, next to the configuration."""
    return out.with_suffix(".jinja")


def _text(
    draft: Draft, tool: Tool, asked: ConversionRequest, outcomes: tuple[Outcome, ...], out: Path
) -> str:
    longer = {key.rpartition(".")[0] for key in draft.entries} | {
        ".".join(key.split(".")[:2]) for key in draft.entries if key.count(".") > 1
    }
    entries = [entry for key, entry in draft.entries.items() if key not in longer]
    entries.sort(key=_place)
    head = [
        f"Converted from {asked.file.name}, a recipe of {tool.title}.",
        f"python -m launcher plan --config {out}",
        "",
    ]
    missing = [one for one in outcomes if one.fate in (Fate.lost, Fate.absent, Fate.unknown)]
    tail = ["", "Not carried over:", *(f"  {one.key}: {one.why}" for one in missing)] if missing else []
    wrong = [f"  {key}: {why}" for key, why in draft.stand_ins.items()]
    head += ["Correct these first:", *wrong, ""] if wrong else []
    return to_text(head, entries, tail)


def _place(entry: Entry) -> tuple[int, bool]:
    """Sort key of an entry: its group, and in the group the keys of _FIRST first."""
    group, _, name = entry.key.partition(".")
    return (_ORDER.index(group) if group in _ORDER else len(_ORDER), name not in _FIRST)


def _beside(file: Path, name: str) -> Any:
    """The contents of a file that the recipe names: in its folder, in a folder above it, or in the working folder."""
    for folder in (file.parent, *file.absolute().parents[1:5], Path.cwd()):
        path = folder / name
        if path.is_file():
            return load(path)
    return None
