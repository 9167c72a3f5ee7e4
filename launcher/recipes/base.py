"""What a module about another tool defines, and the draft that it fills."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from launcher.config import Config
from launcher.config.texts import dataclass_of
from launcher.errors import LauncherError
from launcher.launching.own_file.values import accepts
from launcher.launching.own_file.write import Entry
from launcher.methods.registry import METHODS, find_method
from launcher.plugins.base import make_plugins
from launcher.resources import resource_dir


class Fate(Enum):
    """What became of a key of the other tool."""

    carried = "carried over"
    same = "done here without a key"
    lost = "has a counterpart, but not for this value"
    absent = "has no counterpart"
    unknown = "not known as a key of the tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One key of the other tool, and what became of it."""

    key: str
    fate: Fate
    ours: str = ""
    """Our key that has its value."""
    why: str = ""
    """The reason if it is not carried over."""


MISREAD = (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError)
"""Exceptions of code that reads a value of an unexpected form."""


class Lost(Exception):
    """A conversion function raises it for a value without a counterpart; its text is the reason."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A conversion in progress."""

    recipe: dict[str, Any]
    defaults: Mapping[str, Any]
    """The other tool's defaults where they differ from ours; they apply to keys that the recipe does not have."""
    method: str
    world: int = 1
    """Number of all GPUs."""
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    stand_ins: dict[str, str] = field(default_factory=dict[str, str])
    """Our keys with placeholder values, such as the path of data that the recipe does not name -> what the user must give."""
    read_beside: Callable[[str], Any] = lambda name: None
    """The contents of a YAML or JSON file that the recipe names; None if there is no such file."""

    def get(self, key: str) -> Any:
        """The recipe's value, or the tool's default."""
        value = self.recipe.get(key)
        return self.defaults.get(key) if value is None and key not in self.recipe else value

    def carry(self, keys: str | Iterable[str], ours: str, value: Any, comment: str = "") -> None:
        """Sets one of our keys, and notes the other tool's keys that it comes from."""
        fault = misfit(ours, value) or _unfit(self.method, ours, value)
        for key in (keys,) if isinstance(keys, str) else keys:
            if fault:
                self._note(key, Fate.lost, why=fault)
            else:
                self._note(key, Fate.carried, ours=ours)
        if not fault:
            self.entries[ours] = Entry(key=ours, value=value, comment=comment)

    def put(self, ours: str, value: Any, comment: str = "") -> None:
        """Sets one of our keys that comes from no single key of the recipe."""
        self.entries.setdefault(ours, Entry(key=ours, value=value, comment=comment))

    def stand_in(self, ours: str, value: Any, why: str) -> None:
        """Sets one of our keys to a placeholder value, which the user must correct before the file can be used."""
        if ours not in self.entries:
            self.entries[ours] = Entry(key=ours, value=value, comment=why)
            self.stand_ins[ours] = why

    def same(self, key: str, why: str) -> None:
        """Notes a key that needs no counterpart."""
        self._note(key, Fate.same, why=why)

    def lost(self, key: str, why: str) -> None:
        """Notes a key whose value has no counterpart."""
        self._note(key, Fate.lost, why=why)

    def absent(self, key: str, why: str) -> None:
        """Notes a key without a counterpart."""
        self._note(key, Fate.absent, why=why)

    def value(self, ours: str) -> Any:
        """The present value of one of our keys; None if it has none."""
        return self.entries[ours].value if ours in self.entries else None

    def refuse(self, ours: str, why: str) -> None:
        """Removes one of our keys, because it does not work with another key."""
        self.entries.pop(ours, None)
        for key, one in self.outcomes.items():
            if one.ours == ours:
                self.outcomes[key] = dataclasses.replace(one, fate=Fate.lost, ours="", why=why)

    def nested(self, key: str, fate: Fate, why: str, ours: str = "") -> None:
        """Notes a nested key of the recipe, such as datasets[0].type."""
        self.outcomes[key] = Outcome(key=key, fate=fate, ours=ours, why=why)

    def _note(self, key: str, fate: Fate, ours: str = "", why: str = "") -> None:
        if key in self.recipe:
            self.outcomes[key] = Outcome(key=key, fate=fate, ours=ours, why=why)


Step = Callable[[Draft, str, Any], None]
"""(draft, the other tool's key, its value) -> sets our keys and notes what became of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One other tool. A module of this package holds one as SPEC."""

    title: str
    """Its name, in the spelling of its authors."""
    source: str
    """Where its keys are documented."""
    marks: frozenset[str]
    """Keys by which its recipes are recognised."""
    table: Mapping[str, Step]
    """Key -> the step that handles it."""
    finish: Callable[[Draft], None]
    """Sets the keys that come from several keys of the recipe. It runs before the table, which sets the other keys."""
    method: Callable[[Mapping[str, Any]], str | None]
    """The training method that a recipe names; None if it names none."""
    trains_nothing: Callable[[Mapping[str, Any]], str | None] = lambda recipe: None
    """What a recipe is that trains nothing, and what does the same here; None for one that trains."""
    defaults: Callable[[str], Mapping[str, Any]] = lambda method: {}
    """`defaults` of Draft for a training method."""


def to(ours: str, convert: Callable[[Any], Any] | None = None) -> Step:
    """A step that carries a value to one of our keys; `convert` may raise Lost."""

    def step(draft: Draft, key: str, value: Any) -> None:
        try:
            draft.carry(key, ours, convert(value) if convert else value)
        except Lost as lost:
            draft.lost(key, str(lost))
        except (TypeError, ValueError):
            draft.lost(key, f"{value!r} is not a valid value for {ours}")

    return step


def absent(why: str) -> Step:
    """A step for a key without a counterpart. A value that turns the key off needs no counterpart."""
    return lambda draft, key, value: draft.same(key, "off") if is_off(value) else draft.absent(key, why)


def same(why: str) -> Step:
    """A step for a key that needs no counterpart here."""
    return lambda draft, key, value: draft.same(key, why)


def plugin(name: str) -> Step:
    """A step for a switch that corresponds to a plugin here."""

    def step(draft: Draft, key: str, value: Any) -> None:
        if is_off(value):
            draft.same(key, "off")
        else:
            draft.carry(key, f"plugins.{name}", True)

    return step


def is_off(value: Any) -> bool:
    """Whether a value turns its key off."""
    return value is None or value is False or value in ("", "no", "none", "false", 0, [], {})


def _unfit(method: str, ours: str, value: Any) -> str:
    """Why a method cannot have this value of a key of the trainer group; empty if it can."""
    group, _, name = ours.partition(".")
    spec = find_method(method)
    if group != "trainer" or not any(name in find_method(one).key_names for one in METHODS.own_names()):
        return ""
    key = next((one for one in spec.keys if one.name == name), None)
    if key is None:
        return f"trainer.kind={method} has no {name}"
    if value is not None and key.holds is not None and not key.holds(value):
        return f"{ours}={value} must be {key.rule}"
    if name == "loss_type" and value not in spec.losses:
        return f"the loss {value} is not one of trainer.kind={method}: {', '.join(spec.losses)}"
    return ""


def _not_finite(value: Any) -> float | None:
    """The first NaN or infinity in a value, however deep; None without one."""
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = list(cast("dict[Any, Any]", value).values())
    elif isinstance(value, list):
        inner = cast("list[Any]", value)
    return next((found for one in inner if (found := _not_finite(one)) is not None), None)


def misfit(ours: str, value: Any) -> str:
    """Why one of our keys cannot hold the value; empty if it can."""
    if (odd := _not_finite(value)) is not None:
        return f"{ours} cannot be {odd}; it must be a number"
    schema: type = Config
    *groups, last = ours.split(".")
    if groups[:1] == ["plugins"]:
        name, option = [*groups[1:], last, ""][:2]
        return _plugin_misfit(name, {option: value} if option else {})
    for name in groups:
        hint = _hints(schema).get(name)
        if get_origin(hint) is dict:
            return ""
        schema = dataclass_of(hint) or schema
    if last not in {one.name for one in dataclasses.fields(schema)}:
        return f"{ours} is not a key of this version"
    if last == "plugins" or dict in (
        get_origin(_hints(schema)[last]),
        *get_args(_hints(schema)[last]),
    ):
        return ""
    if dataclass_of(_hints(schema)[last]):
        return ""  # a list of groups, whose keys the configuration checks
    return "" if accepts(schema, last, value) else f"{ours} cannot be {value!r}"


@functools.cache
def _shipped(name: str) -> dict[str, Any]:
    """The options of a shipped plugin with their defaults."""
    return cast(
        "dict[str, Any]",
        OmegaConf.to_container(OmegaConf.load(resource_dir("conf") / "plugin" / f"{name}.yaml")),
    )


@functools.cache
def _hints(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)


def _plugin_misfit(name: str, options: dict[str, Any]) -> str:
    """Why a shipped plugin cannot have these options; empty if it can."""
    shipped = _shipped(name)
    if not options.keys() <= shipped.keys():
        return f"plugins.{name}.{next(iter(options))} is not a key of this version"
    try:
        make_plugins({name: shipped | options})
    except LauncherError as error:
        return str(error)
    return ""
