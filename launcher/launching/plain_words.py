"""Words of a configuration file that YAML reads as numbers or switches, where a key holds a text for another program.

YAML 1.1 reads `X: 017` as 15, `cpu-bind: 1:2` as 62, `modules: [1.10]` as 1.1 and `comment: off` as false. A file
of --config-dir is checked for such words; one that is given with --config keeps them as they are.
"""

import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from launcher.config import Config
from launcher.config.texts import OPTIONS, dataclass_of, is_text
from launcher.launching.own_file.source import (
    SourceFile,
    construct,
    line_of,
    parse_source,
    read_source,
)
from launcher.launching.shipped_source import is_own

_OTHER_PACKAGE = re.compile(r"^#\s*@package\s+(?!_global_\s*$)", re.MULTILINE)
_GLOBAL = re.compile(r"^#\s*@package\s+_global_\s*$", re.MULTILINE)
_SWITCHES = ("true", "false")


def refuse_numbers(settings: Any) -> None:
    """ConfigError for the first text that YAML reads as a number or a switch in a chosen file of --config-dir; keys that were
    typed as well are left out. `settings` are Hydra's own."""
    typed = {word.lstrip("+").partition("=")[0] for word in settings.overrides.task}
    for group, file in _chosen(settings):
        for one in _with_defaults(file):
            _check(group, one, typed)


def key_fault(file: Path) -> str | None:
    """A sentence about the first key of a file that YAML reads as a number or a switch, such as ON; None if there is none."""
    pending: list[Any] = [_root(file)] if file.is_file() else []
    while pending:
        node = pending.pop(0)
        pairs: list[tuple[Any, Any]] = node.value if isinstance(node, yaml.MappingNode) else []
        for key, _ in pairs:
            if key.style is None and isinstance(value := construct(key), bool | int | float):
                return (
                    f"{file}:{line_of(key)}: YAML reads the key {key.value} without quotes as {_shown(value)}; quote it: "
                    f'"{key.value}": ...'
                )
        pending += [pair[1] for pair in pairs]
    return None


def _chosen(settings: Any) -> Iterator[tuple[str, Path]]:
    """Group and file of each choice that is not shipped."""
    for source in settings.runtime.config_sources:
        if not is_own(source.schema):
            continue
        for group, choice in settings.runtime.choices.items():
            file = Path(str(source.path), group, f"{choice}.yaml")
            if file.is_file():
                yield group, file


def _with_defaults(file: Path) -> list[Path]:
    """The file, and those of its folder that it starts from."""
    found, pending = list[Path](), [file]
    while pending:
        one = pending.pop()
        if one in found or not one.is_file():
            continue
        found.append(one)
        listed = [value for key, value in _root(one).value if key.value == "defaults"]
        names = [item.value for node in listed if isinstance(node, yaml.SequenceNode) for item in node.value]
        pending += [one.with_name(f"{name}.yaml") for name in names if isinstance(name, str)]
    return found


def _source(file: Path) -> SourceFile:
    return read_source(file, str(file))


def _root(file: Path) -> yaml.MappingNode:
    return parse_source(_source(file))


def _check(group: str, file: Path, typed: Set[str]) -> None:
    source = _source(file)
    if _OTHER_PACKAGE.search(source.text):
        return
    whole = _GLOBAL.search(source.text) is not None
    hint = Config if whole else get_type_hints(Config).get(group)
    for key, node in _texts(hint, "" if whole else group, parse_source(source)):
        value = construct(node)
        if key in typed:
            continue
        switch = isinstance(value, bool) and key.startswith(OPTIONS)
        if isinstance(value, bool | int | float) and (
            node.value.lower() not in _SWITCHES if switch else str(value) != node.value
        ):
            name = key.rpartition(".")[2]
            quoted = f'"{node.value}"' if "[" in name else f'{name}: "{node.value}"'
            way = f", or write {_shown(value)}" if switch else ""
            source.fail(
                line_of(node),
                f"{key}: YAML reads {node.value} without quotes as {value if not switch else _shown(value)}; "
                f"quote it: {quoted}{way}",
            )


def _shown(value: object) -> str:
    """The value in YAML's spelling."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(hint: Any, key: str, node: Any) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """The words without quotes below a node whose keys hold texts."""
    schema, inside = dataclass_of(hint), get_args(hint)
    if isinstance(node, yaml.MappingNode):
        known = get_type_hints(schema) if schema and get_origin(hint) is not list else {}
        for name, value in node.value:
            below = inside[1] if get_origin(hint) is dict else known.get(name.value)
            if below is not None:
                yield from _texts(below, f"{key}.{name.value}".lstrip("."), value)
    elif isinstance(node, yaml.SequenceNode) and get_origin(hint) is list:
        for number, value in enumerate(node.value):
            yield from _texts(inside[0], f"{key}[{number}]", value)
    elif isinstance(node, yaml.ScalarNode) and node.style is None and is_text(hint, key):
        yield key, node
