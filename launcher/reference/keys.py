"""The page of all configuration keys, and of the options of the shipped plugins."""

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

from omegaconf import OmegaConf

from launcher.config.keys import ConfigKey, field_docs, in_yaml, list_keys
from launcher.plugins.base import find_class
from launcher.reference.markdown import code, page, table
from launcher.resources import resource_dir

_HEAD = ("key", "type", "default", "meaning")
_INTRO = """Every key can be set on the command line (`key=value`), in an experiment or in a group file of `conf/`. The default
is that of the schema; a group file may set another, and `python -m launcher --cfg job` shows the values of a composed run. A
value without a default must be given."""


def keys_page() -> str:
    """docs/reference/keys.md."""
    keys = list_keys()
    groups = [key for key in keys if key.group and "." not in key.name]
    named = {key.name for key in groups}
    whole = [key for key in keys if key.name.partition(".")[0] not in named]
    parts = ["## The whole run", _table(whole)]
    for group in groups:
        own = [key for key in keys if key.name.startswith(f"{group.name}.") and not key.group]
        parts += [f"## {group.name}", group.doc, _table(own)]
    return page("Configuration keys", _INTRO, *parts)


def plugins_page() -> str:
    """docs/reference/plugins.md."""
    parts: list[str] = []
    for name, options in shipped_plugins().items():
        made = find_class(f"plugins.{name}", str(options["_target_"]))
        docs = field_docs(made)
        rows = [
            (
                code(f"plugins.{name}.{field.name}"),
                code(in_yaml(options.get(field.name, field.default))),
                docs.get(field.name, ""),
            )
            for field in dataclasses.fields(made)  # pyright: ignore[reportArgumentType]
            if field.init
        ]
        doc = (made.__doc__ or "").partition("\n\n")[0]
        parts += [f"## {name}", doc, table(("option", "default", "meaning"), rows)]
    intro = "Choose plugins with `'plugin=[lora,gradient_checkpointing]'`; they are applied in that order."
    return page("Options of the shipped plugins", intro, *parts)


def shipped_plugins() -> dict[str, dict[str, Any]]:
    """The content of each file of conf/plugin by its name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((resource_dir("conf") / "plugin").glob("*.yaml")):
        loaded = OmegaConf.to_container(OmegaConf.load(path))
        found[path.stem] = cast("dict[str, Any]", loaded)
    return found


def _table(keys: Iterable[ConfigKey]) -> str:
    rows = [
        (code(key.name), key.type, code(key.default) if key.default is not None else "must be given", key.doc)
        for key in keys
    ]
    return table(_HEAD, rows)
