"""The text and the YAML nodes of a file of one's own; each fault is one line with the file and the line in it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from omegaconf._utils import get_yaml_loader  # reads 1e-4 as a number, as a file of conf/ does

from launcher.errors import ConfigError
from launcher.reading import read_given

_LARGEST = 1 << 20
_MOST_NODES = 20_000
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file that was read."""

    path: Path
    shown: str
    """The path as it was typed."""
    text: str

    def fail(self, line: int, message: str) -> NoReturn:
        """Raises ConfigError about a line of the file."""
        raise ConfigError(f"{self.shown}:{line}: {message}")


def read_source(path: Path, shown: str) -> SourceFile:
    """The file's text; ConfigError if it cannot be read, or is not UTF-8."""
    try:
        raw = read_given(path, _LARGEST + 1)
        if len(raw) > _LARGEST:
            raise ConfigError(f"{shown} has more than 1 MiB; a configuration is a small YAML file")
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read ({error.strerror or error}){_others(path)}") from None
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{shown} is UTF-16; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{shown}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    return SourceFile(path=path, shown=shown, text=text)


def parse_source(
    source: SourceFile, if_empty: str = "write one, such as extends: llama8b_lora"
) -> yaml.MappingNode:
    """The mapping that the file holds; ConfigError for anything else. `if_empty`: the way out for a file without a key."""
    loader: Any = None
    try:
        loader = get_yaml_loader()(source.text)
        node = loader.get_single_node()
        for key in _mappings(source, node):
            _refuse_duplicates(source, key)
            loader.flatten_mapping(key)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source.fail(mark.line + 1 if mark else 1, _fault(source, error))
    except yaml.YAMLError as error:
        where = getattr(error, "position", None)
        line = source.text[:where].count("\n") + 1 if isinstance(where, int) else 1
        source.fail(line, f"not YAML ({' '.join(str(error).split())})")
    if node is None or node.tag == "tag:yaml.org,2002:null":
        raise ConfigError(f"{source.shown} holds no key; {if_empty}")
    if not isinstance(node, yaml.MappingNode):
        source.fail(node.start_mark.line + 1, "a configuration is lines of the form key: value")
    return node


def construct(node: yaml.Node) -> Any:
    """The value of a node, as YAML reads it."""
    loader: Any = get_yaml_loader()("")
    return loader.construct_object(node, deep=True)


def line_of(node: yaml.Node) -> int:
    """The line on which a node begins, from 1."""
    return node.start_mark.line + 1


def _mappings(source: SourceFile, node: Any) -> list[yaml.MappingNode]:
    """All mappings below a node, each once; ConfigError for an alias of itself."""
    found: dict[int, yaml.MappingNode] = {}
    seen = 0

    def walk(one: Any, above: frozenset[int]) -> None:
        nonlocal seen
        seen += 1
        if id(one) in above or seen > _MOST_NODES:
            source.fail(
                line_of(one), "an alias (*) repeats the part that it stands in, or too much; write it out"
            )
        inside = above | {id(one)}
        if isinstance(one, yaml.MappingNode):
            found.setdefault(id(one), one)
            for key, value in one.value:
                walk(key, inside)
                walk(value, inside)
        elif isinstance(one, yaml.SequenceNode):
            for item in one.value:
                walk(item, inside)

    if node is not None:
        walk(node, frozenset())
    return list(found.values())


def _refuse_duplicates(source: SourceFile, node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            source.fail(line_of(key), "a key must be a word")
        if key.value in lines:
            source.fail(
                line_of(key),
                f"{key.value} is given twice, first on line {lines[key.value]}; keep one of them",
            )
        lines[key.value] = line_of(key)


def _fault(source: SourceFile, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    problem = error.problem or "an error"
    line = source.text.splitlines()[mark.line] if mark and mark.line < len(source.text.splitlines()) else ""
    if "\\t" in problem or re.match(r"\s*\t", line):
        return "a tab indents or separates here; YAML wants spaces"
    if "expected a single document" in str(error):
        return "a second document begins (---); write one configuration per file"
    hint = ""
    if "mapping values are not allowed" in problem:
        hint = "; quote a value that holds a colon, and indent keys of one level alike"
    return f"not YAML ({problem}){hint}"


def _others(path: Path) -> str:
    """The YAML files beside a path that is missing."""
    if path.exists() or not path.parent.is_dir():
        return ""
    names = sorted(one.name for one in path.parent.iterdir() if one.suffix in _SUFFIXES)[:8]
    return f"; {path.parent} has {', '.join(names)}" if names else ""
