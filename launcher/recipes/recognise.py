"""Reads the file of another tool, and tells which tool's recipe it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.errors import ConfigError
from launcher.launching.own_file.source import construct, parse_source, read_source
from launcher.recipes.base import Tool
from launcher.recipes.registry import TOOLS


def load(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file; ConfigError with the line of a mistake."""
    source = read_source(path, str(path))
    if path.suffix == ".json":
        try:
            loaded = json.loads(source.text)
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON ({error})") from None
        if not isinstance(loaded, dict):
            raise ConfigError(f"{path} is not a mapping of keys to values")
        return cast("dict[str, Any]", loaded)
    node = parse_source(source, "give the file that the other tool reads")
    try:
        return cast("dict[str, Any]", construct(node))
    except (yaml.MarkedYAMLError, ValueError) as error:
        fault = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        raise ConfigError(f"{path}: not YAML ({fault})") from None


def recognise(recipe: Mapping[str, Any], file: Path) -> Tool:
    """The tool that shares the most characteristic keys with the recipe; ConfigError if no tool does."""
    if "compute_environment" in recipe or "distributed_type" in recipe:
        raise ConfigError(
            f"{file} is a configuration of accelerate, not a recipe; name the recipe, and add --accelerate {file}"
        )
    if "zero_optimization" in recipe:
        raise ConfigError(
            f"{file} is a configuration of DeepSpeed, not a recipe; name the recipe, and add --deepspeed {file}"
        )
    if "defaults" in recipe or "extends" in recipe:
        raise ConfigError(f"{file} is already a configuration of this launcher; type --config {file}")
    known = [TOOLS.find(name) for name in TOOLS.names()]
    scores = [_likeness(tool, recipe, known) for tool in known]
    if max(scores) < 2:
        titles = ", ".join(tool.title for tool in known)
        raise ConfigError(
            f"the keys of {file} are not those of a recipe of {titles}; if it is one, give --tool {'|'.join(TOOLS.names())}"
        )
    best = [tool for tool, score in zip(known, scores, strict=True) if score == max(scores)]
    return min(
        best, key=lambda tool: len(tool.table)
    )  # if the scores are equal, the tool with the fewest keys


def _likeness(tool: Tool, recipe: Mapping[str, Any], known: list[Tool]) -> int:
    """The number of the tool's marks among the recipe's keys; a mark that no other tool has counts three times."""
    others = [other for other in known if other is not tool]
    return sum(1 if any(key in other.marks for other in others) else 3 for key in tool.marks & recipe.keys())
