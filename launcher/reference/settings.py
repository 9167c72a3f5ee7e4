"""The pages of what a user sets: configuration keys and plugin options, the names of other tools, and
environment variables.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, cast

from omegaconf import OmegaConf

from launcher.clusters.slurm.environment import VARIABLES as SLURM_VARIABLES
from launcher.config.keys import ConfigKey, field_docs, in_yaml, list_keys
from launcher.config.other_names import counterparts
from launcher.environment import VARIABLES
from launcher.plugins.base import find_class
from launcher.reference.markdown import code, page, table
from launcher.resources import resource_dir
from launcher.trackers.registry import TRACKERS

_HEAD = ("key", "type", "default", "meaning")
_INTRO = """Every key can be set on the command line (`key=value`), in an experiment or in a group file of `conf/`. The default
is that of the schema; a group file may set another, and `python -m launcher --cfg job` shows the values of a composed run. A
value without a default must be given."""
_NAMES = """Settings of transformers, trl, peft, accelerate, DeepSpeed, axolotl, LLaMA-Factory, torchtune and Slurm, and the key
here that does the same. If such a name is typed, bare or below a group (`lr=1e-4`, `trainer.lr=1e-4`), on the command line or
in a file, the error names the key in one line. A key below `plugins` needs its plugin: `'plugin=[lora]'`."""


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


def other_names_page() -> str:
    """docs/reference/other_names.md."""
    rows = [
        (
            code(one.key or "") or "nothing to set",
            ", ".join(code(name) for name in one.names),
            one.note or "The same setting.",
        )
        for one in counterparts()
    ]
    return page("Names of other tools", _NAMES, table(("here", "elsewhere", "what differs"), rows))


def environment_page() -> str:
    """docs/reference/environment.md."""
    intro = (
        "Every environment variable that this project sets or reads. A value that a person or a site has set is kept where the "
        "table says so. `cluster.env` sets variables for the ranks; a secret belongs in your own environment."
    )
    trackers = (one for tracker in TRACKERS.own() for one in tracker.environment)
    rows = [
        (code(one.name), one.meaning, one.set_by, one.read_by)
        for one in (*VARIABLES.values(), *trackers, *SLURM_VARIABLES.values())
    ]
    return page("Environment variables", intro, table(("variable", "meaning", "set by", "read by"), rows))
