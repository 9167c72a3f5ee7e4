"""One sentence for each error of Hydra and OmegaConf: the key, the value, the rule and the way out."""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

from launcher.config import Config
from launcher.config.texts import dataclass_of
from launcher.errors import nearest, unknown
from launcher.resources import resource_dir


def _open_before(word: str, arguments: list[str]) -> str | None:
    """The override without a value that was typed just before a word, as in `data.path= rows.jsonl`; None for another one."""
    for before, at in itertools.pairwise(arguments):
        if at == word and before.endswith("=") and not before.startswith("-"):
            return before
    return None


def explain(error: BaseException, arguments: list[str]) -> str:
    """One sentence for an error of Hydra or OmegaConf."""
    if found := _without_package(arguments):
        return found
    for cause in causes_of(error):
        if isinstance(cause, OverrideParseException):
            key, _, value = cause.override.partition("=")
            if not value and key.endswith((".yaml", ".yml")):
                return f"{key} is a file; write --config {key}"
            if not value and (resource_dir("conf") / "experiment" / f"{key}.yaml").is_file():
                return f"{key} is an experiment; write +experiment={key}"
            if not value and (before := _open_before(cause.override, arguments)):
                return f"{before} has no value, and {key} no key; write {before}{key}, without a blank after the ="
            way_out = f"quote the value, as in '{key}=\"...\"'" if value else f"write {key}=VALUE"
            return f"{cause.override} is not an override Hydra can read ({_reason(cause)}); {way_out}"
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            if cause.missing_cfg_file.endswith((".yaml", ".yml")):
                file = cause.missing_cfg_file.partition("/")[2]
                return f"+experiment={file} names a file; write --config {file}, or the experiment's name without its ending"
            if meant := named_value(*cause.missing_cfg_file.split("/", 1)):
                return meant
            group, _, name = cause.missing_cfg_file.rpartition("/")
            shipped = [path.stem for path in (resource_dir("conf") / group).glob("*.yaml")]
            return unknown(group or "config", name, {*(cause.options or shipped)} - {"schema"})
        key = str(getattr(cause, "full_key", None) or "")
        if key and isinstance(cause, ConfigKeyError | ConfigAttributeError):
            found = _in_item(cause, key)
            return _where(error) + (found or unknown_key(_typed(key, arguments)))
        if key and isinstance(cause, ValidationError):
            below = _typed(key, arguments)
            if below != key and cause.value in ({}, None) and not isinstance(cause.value, bool):
                return f"{below}: {key} must be {expected(key)} and has no keys below it"
            value = "null" if cause.value is None else cause.value
            return f"{_where(error)}{key}={value} must be {expected(key)}{without_unit(key, value)}"
    several = re.match(r"Ambiguous value for argument '(.*?)'\n1\. ", str(error), re.DOTALL)
    if several:
        key, _, value = several[1].partition("=")
        quote = f"quote the value, as in '{key}=\"...\"'"
        return f"{key}={value} holds a comma; {quote}, or run each of several with -m"
    absent_group = re.search(r"Could not override '/?([^'@]+)[^']*'", str(error))
    if absent_group:
        return unknown_key(absent_group[1])
    key = str(getattr(error, "full_key", None) or "")
    return f"{key}: {_reason(error)}" if key else _reason(error)


def named_value(group: str, value: str = "") -> str | None:
    """One sentence for a hub id, a folder or a file that was given as the name of a group's file; None for any other name."""
    if group == "model" and (value.startswith((".", "~", "/")) or "/" in value):
        return f"model={value} is a hub id or a folder, not a file of conf/model; write model.name_or_path={value}"
    if group == "data" and ("/" in value or ":" in value or Path(value).suffix):
        return f"data={value} is a data file, not a file of conf/data; write data.path={value}"
    return None


def _in_item(error: BaseException, key: str) -> str | None:
    """One sentence for an unknown key in an item of a list, whose error names no more than the key itself; None for others."""
    item = getattr(error, "object_type", None)
    if "." in key or item is Config or not (isinstance(item, type) and dataclasses.is_dataclass(item)):
        return None
    names = [field.name for field in dataclasses.fields(item)]
    holder = next((name for name in known_keys() if _item_of(name) is item), None)
    return f"in an item of {holder}: {unknown('key', key, names)}" if holder else None


def _item_of(key: str) -> type | None:
    """The dataclass of the items of a list; None for another key."""
    schema: type = Config
    hint: Any = None
    for name in key.split("."):
        hint = get_type_hints(schema).get(name)
        schema = dataclass_of(hint) or schema
    return dataclass_of(hint) if get_origin(hint) is list else None


def _without_package(arguments: list[str]) -> str | None:
    """One sentence for an experiment of --config-dir whose keys land below `experiment`, which is not a key; else None."""
    name = next((word.partition("=")[2] for word in arguments if word.startswith("+experiment=")), None)
    folder = config_dir_of(arguments)
    path = folder / "experiment" / f"{name}.yaml" if name and folder else None
    if path is None or not path.is_file() or "@package" in path.read_text(encoding="utf-8", errors="replace"):
        return None
    return (
        f"{path} sets keys of the whole run, so its first line must be `# @package _global_`; add it, or write --config FILE "
        "for a file of plain keys, which needs neither that line nor a list of defaults"
    )


def config_dir_of(arguments: Sequence[str]) -> Path | None:
    """The folder that the arguments give with --config-dir."""
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option in ("--config-dir", "-cd"):
            return Path(value if equals else next(words, "."))
    return None


_MOST = 15
"""How many names one sentence lists at most."""
_RENAMED = {"resources.silence_s": "resources.hang_timeout_s"}
"""Former name of a key -> its present name."""


def unknown_key(key: str) -> str:
    """One sentence for an unknown key, with the nearest known key."""
    from launcher.config.other_names import counterpart, counterparts

    if key in _RENAMED:
        return f"{key} is now called {_RENAMED[key]}; write {_RENAMED[key]}=VALUE"
    if key == "experiment":
        return "experiment=NAME must be written +experiment=NAME"
    known = list(known_keys())
    elsewhere = None if key in known else counterpart(key)
    if elsewhere:
        return elsewhere.answer(key)
    plugins = sorted({name.split(".")[1] for name in known if name.startswith("plugins.")})
    root, _, rest = key.partition(".")
    plugin = rest.partition(".")[0]
    if root == "plugins" and plugin and plugin not in plugins:
        own = f"One of your own starts with +plugins.{plugin}._target_=MODULE.CLASS"
        return f"{unknown('plugin', plugin, plugins)} {own}"
    if key in known:
        parent = key.rpartition(".")[0]
        why = f"choose 'plugin=[{plugin}]' first" if root == "plugins" else f"{parent} is null"
        return f"{key} cannot be set here: {why}"
    leaf = key.rpartition(".")[2]
    same_leaf = [name for name in known if name.rpartition(".")[2] == leaf]
    likeness = difflib.SequenceMatcher(b=key)

    def like(name: str) -> float:
        likeness.set_seq1(name)
        return likeness.ratio()

    parent = key.rpartition(".")[0]
    siblings = [name.rpartition(".")[2] for name in known if parent and name.rpartition(".")[0] == parent]
    elsewhere = counterpart(nearest(leaf, [name for one in counterparts() for name in one.names]) or "")
    if siblings and not same_leaf:
        close = nearest(leaf, siblings)
        if elsewhere and not close:
            return f"unknown key {key}; {elsewhere.answer(nearest(leaf, elsewhere.names) or leaf)}"
        return f"unknown key {key}; " + (
            f"did you mean {parent}.{close}?" if close else _all_of(parent, siblings)
        )
    close = max(
        same_leaf, key=lambda name: (name.startswith("resources."), like(name)), default=nearest(key, known)
    )
    close = close or ("+experiment" if nearest(key, ["experiment"]) else None)
    if elsewhere and not close:
        return f"unknown key {key}; {elsewhere.answer(nearest(leaf, elsewhere.names) or leaf)}"
    hint = f"did you mean {close}?" if close else "python -m launcher --cfg job lists all keys"
    return f"unknown key {key}; {hint}"


def _all_of(parent: str, names: Sequence[str]) -> str:
    """What a group has, in a line that can be read."""
    if len(names) > _MOST:
        return f"{parent} has {len(names)} keys; docs/reference/keys.md and python -m launcher --cfg job list them"
    return f"{parent} has {', '.join(names)}"


def known_keys(schema: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the configuration, including groups and shipped plugins."""
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        name = f"{prefix}{field.name}"
        yield name
        nested = dataclass_of(hints[field.name])
        if nested:
            yield from known_keys(nested, f"{name}.")
    if schema is Config:
        for path in sorted((resource_dir("conf") / "plugin").glob("*.yaml")):
            for option in OmegaConf.load(path):
                yield f"plugins.{path.stem}.{option}"


_UNIT = re.compile(r"([0-9][0-9_]*(?:[.][0-9]+)?) ?(%|[a-zA-Z]+)")
_SIZES = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_GIB = {
    "g": 1.0,
    "gb": 1.0,
    "gib": 1.0,
    "m": 1 / 1024,
    "mb": 1 / 1024,
    "mib": 1 / 1024,
    "t": 1024.0,
    "tb": 1024.0,
    "tib": 1024.0,
}


def without_unit(key: str, value: Any) -> str:
    """The way out for a number with a unit: the number in the key's own unit; empty for another value."""
    found = _UNIT.fullmatch(str(value).strip())
    if not found:
        return ""
    number, unit = float(found[1].replace("_", "")), found[2].lower()
    sizes = _GIB if key.endswith("_gib") else _SECONDS if key.endswith("_s") else {**_SIZES, "%": 0.01}
    if key.endswith("length"):
        sizes = {"k": 1024}
    if unit not in sizes:
        return ""
    return f" without a unit; try {key}={number * sizes[unit]:.10g}"


def expected(key: str) -> str:
    """The name of a key's type for a sentence."""
    schema: type = Config
    hint: Any = None
    for name in key.replace("[", ".").split("."):
        inside = get_origin(hint) in (dict, list)
        hint = get_args(hint)[-1] if inside else get_type_hints(schema).get(name)
        schema = dataclass_of(hint) or schema
    nested = dataclass_of(hint)
    if nested and get_origin(hint) is list:
        return f"a list of groups of keys, such as [{{{dataclasses.fields(nested)[0].name}: ...}}]"
    if nested:
        return f"a group of keys, such as {key}.{dataclasses.fields(nested)[0].name}=..."
    names: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    names |= {list: "a list, such as [a,b]", dict: "keys with values, such as {key:value}"}
    for kind in (get_origin(hint), hint, *get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return f"one of {', '.join(choice.name for choice in kind)}"
        if kind in names:
            return names[kind]
    return "of the type that conf/ shows"


def _typed(key: str, arguments: list[str]) -> str:
    """The key as it was typed: OmegaConf names it only up to the first unknown part."""
    names = (argument.lstrip("+~").partition("=")[0] for argument in arguments)
    return next((name for name in names if name.startswith(f"{key}.")), key)


def _where(error: BaseException) -> str:
    """The start of a sentence about a key in a file: Hydra names the file of a group."""
    file = re.match(r"In '([^']+)': \w+ raised while", str(error))
    return f"in {file[1]}.yaml: " if file else ""


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """The error's own message, without Hydra's link to its manual and OmegaConf's list of types."""
    return re.split(r"\nSee https|\n\s*full_key:", str(error))[0]


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
