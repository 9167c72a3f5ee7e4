"""Paths of a configuration that name files of this machine. The files are sent, and the cluster reads the copies.

A path that exists here is sent. Any other path belongs to the cluster, where ~ and $NAME are expanded.
"""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from launcher.config.schema import is_shipped
from launcher.data.places import find_files, is_address
from launcher.errors import ConfigError
from launcher.launching.freeze.look import has_secret_name
from launcher.launching.typed import as_typed, expand, keep_braces, with_home
from launcher.remote.content import Hashes, Tree, data_tree

_DATA = ("data.path", "data.eval_path")
_OTHERS = (
    "model.name_or_path",
    "model.adapter",
    "model.chat_template",
    "trainer.teacher",
    "trainer.teacher_logits",
    "resume",
)
_WORDS = ("auto", "never")
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A value of the configuration that is replaced."""

    key: str
    value: Any
    """The value on the cluster; {SENT} stands for the folder into which files are sent. A tuple has the values of a sweep."""
    trees: tuple[Tree, ...]


SENT = "{SENT}"


def gather_paths(
    cfg: DictConfig, hashes: Hashes, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> list[Sent]:
    """All values that name files of this machine, and those among which a sweep chooses in `overrides`; ConfigError for a
    relative data path that does not exist here."""
    swept = _swept(overrides)
    found = [one for key, values in swept.items() if (one := _choices(key, values, hashes, environ))]
    for key in (*_DATA, *_OTHERS):
        text = None if key in swept else _value(cfg, key)
        if isinstance(text, str) and (one := _send(key, text, hashes, environ)):
            found.append(one)
    if one := _sources(cfg, hashes, environ):
        found.append(one)
    plugins = _value(cfg, "plugins")
    for name, options in plugins.items() if isinstance(plugins, DictConfig) else ():
        for option in options if isinstance(options, DictConfig) else ():
            key = f"plugins.{name}.{option}"
            text = None if key in swept else _value(cfg, key)
            if isinstance(text, str) and "/" in text and (one := _send(key, text, hashes, environ)):
                found.append(one)
    return found


def _swept(overrides: Sequence[str]) -> dict[str, list[Any]]:
    """Key of a path -> the values among which a sweep chooses."""
    found: dict[str, list[Any]] = {}
    for word in overrides:
        key = word.partition("=")[0].lstrip("+")
        if key not in (*_DATA, *_OTHERS) and not key.startswith("plugins."):
            continue
        try:
            override = OverridesParser.create().parse_override(keep_braces(with_home(as_typed([word])[0])))
        except HydraException:  # compose reports this error
            continue
        if (
            isinstance(override.value(), ChoiceSweep)
            and override.value_type is not ValueType.GLOB_CHOICE_SWEEP
        ):
            values = override.sweep_iterator()
            found[key] = [value.text if isinstance(value, QuotedString) else value for value in values]
    return found


def _choices(key: str, values: Sequence[Any], hashes: Hashes, environ: Mapping[str, str]) -> Sent | None:
    """What replaces the values of a sweep; None if none of them names a file of this machine."""
    paths = [one for one in values if isinstance(one, str) and (key in (*_DATA, *_OTHERS) or "/" in one)]
    sent = {path: one for path in paths if (one := _send(key, path, hashes, environ))}
    if not sent:
        return None
    replaced = tuple(sent[one].value if one in paths and one in sent else one for one in values)
    return Sent(key=key, value=replaced, trees=tuple(tree for one in sent.values() for tree in one.trees))


def _value(cfg: DictConfig, key: str) -> Any:
    """The value; None if only the cluster can resolve it."""
    try:
        select: Any = OmegaConf.select  # its types are partly unknown
        return select(cfg, key, default=None)
    except (OmegaConfBaseException, ValueError, TypeError):
        return None


def _send(key: str, text: str, hashes: Hashes, environ: Mapping[str, str]) -> Sent | None:
    """The value that replaces a path; None for a path of the cluster."""
    if text.startswith("hub:") or is_address(text) or (key == "resume" and text in _WORDS):
        return None
    try:
        path = expand(key, text, environ)
    except ConfigError:  # a variable that only the cluster has
        return None
    if is_shipped(path):
        return None
    if Path(path).exists() and (key != "resume" or "/" in text):
        tree, name = _tree(key, Path(path), hashes)
        return Sent(key=key, value=f"{SENT}/{tree.name}/{name}", trees=(tree,))
    if _WILD & set(path) and glob.glob(path, recursive=True):  # noqa: PTH207
        root = Path(*_before_pattern(Path(path).parts))
        files = {str(Path(one).relative_to(root)): Path(one) for one in find_files(path)}
        tree = data_tree(files, hashes)
        return Sent(key=key, value=f"{SENT}/{tree.name}/{Path(path).relative_to(root)}", trees=(tree,))
    if key.startswith("data.") and not text.startswith(("/", "~", "$", "\\$")):
        raise ConfigError(
            f"{key}={text} is not a file here; correct it, or give its path on the cluster, which must begin with /, ~ or $"
        )
    return None


def _before_pattern(parts: tuple[str, ...]) -> list[str]:
    """The folders above the first one with a wildcard, or above the last part."""
    at = next((at for at, part in enumerate(parts) if _WILD & set(part)), len(parts) - 1)
    return list(parts[:at])


def _tree(key: str, path: Path, hashes: Hashes) -> tuple[Tree, str]:
    """The tree that contains the file or the folder, and the name of the file or the folder in it."""
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    if path.is_file():
        return data_tree({name: path}, hashes), name
    if key.startswith("data."):
        inside = {Path(file).name: Path(file) for file in find_files(path)}
    else:
        inside = {str(file.relative_to(path)): file for file in _files(path)}
    return data_tree({f"{name}/{below}": file for below, file in inside.items()}, hashes), name


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in names
            if not name.startswith(".") and not has_secret_name(name.lower())
        ]
    if not found:
        raise ConfigError(f"{folder} has no file that could be sent to the cluster; name another folder")
    return [file for file in found if file.is_file()]


def _sources(cfg: DictConfig, hashes: Hashes, environ: Mapping[str, str]) -> Sent | None:
    """data.sources with paths of the cluster; None if no source is a file of this machine."""
    if not _value(cfg, "data.sources"):
        return None
    try:
        listed = cast("list[dict[str, Any]]", OmegaConf.to_container(cfg.data.sources, resolve=True))
    except OmegaConfBaseException:
        return None
    trees: list[Tree] = []
    for source in listed:
        if one := _send("data.sources", str(source.get("path")), hashes, environ):
            source["path"] = one.value
            trees += one.trees
    return Sent(key="data.sources", value=listed, trees=tuple(trees)) if trees else None
