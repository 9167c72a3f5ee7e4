"""Variables of the shell in the configuration's paths: `$SCRATCH/data.jsonl`, `${HOME}/hf` and `~/hf` are paths here.

They are expanded before anything is planned, so config.yaml and plan.json have the paths that they stand for, and no string
reaches a shell. Other values keep a $ as it is.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from launcher.errors import ConfigError, nearest
from launcher.plan.place import SECRET_NAME

PATHS = (
    "runs_dir",
    "cache_dir",
    "data.path",
    "data.eval_path",
    "data.sources",
    "model.name_or_path",
    "model.adapter",
    "model.chat_template",
    "cluster.python",
    "cluster.container.image",
    "cluster.container.mounts",
    "cluster.env",
    "cluster.setup",
)
"""Keys that hold paths, or groups and lists of them."""
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_OF_SHELL = re.compile(r"\\?(\$\{[A-Z_][A-Z0-9_]*\})")
"""Not an interpolation of the configuration, whose keys have lower-case letters; in an argument it gets a backslash."""
_TYPED = re.compile(rf"\+*({'|'.join(map(re.escape, PATHS))})[.=\[]")
_KEY = re.compile(r"(?<![A-Za-z])KEYS?(?![A-Za-z])", re.IGNORECASE)


def keep_variables(argument: str) -> str:
    """The argument, in which Hydra does not take ${HOME} for an interpolation of the configuration."""
    return _OF_SHELL.sub(r"\\\1", argument) if _TYPED.match(argument) else argument


def expand_variables(cfg: DictConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Puts the values of variables, and home folders, into the paths of a composed configuration; ConfigError for a variable
    that is not set or that holds a secret."""
    with read_write(cfg), open_dict(cfg):
        for key in PATHS:
            holder, _, name = key.rpartition(".")
            parent = OmegaConf.select(cfg, holder) if holder else cfg
            if isinstance(parent, DictConfig):
                _expand_below(key, parent, name, environ)


def _expand_below(key: str, parent: Any, name: Any, environ: Mapping[str, str]) -> None:
    node: Any = parent._get_node(name)  # the raw value: reading it would resolve an interpolation
    if isinstance(node, DictConfig | ListConfig):
        if (
            OmegaConf.is_missing(parent, name)
            or OmegaConf.is_interpolation(parent, name)
            or parent[name] is None
        ):
            return
        named = isinstance(node, DictConfig)
        for inner in [*node] if named else range(len(node)):
            if not key.startswith("data.sources[") or inner == "path":
                _expand_below(f"{key}.{inner}" if named else f"{key}[{inner}]", node, inner, environ)
        return
    value = None if node is None else node._value()
    if isinstance(value, str) and ("$" in value or "~" in value):
        changed = _expanded(key, value, environ)
        if changed != value:
            parent[name] = changed


def _expanded(key: str, value: str, environ: Mapping[str, str]) -> str:
    """The value of one key with its variables and its home folder."""
    if key.startswith("cluster.setup["):
        return _of_command(key, value, environ)
    if key.startswith("cluster.env.") and not value.startswith(("$", "\\$", "~")):
        return value
    return _path(key, value, environ)


def _of_command(key: str, line: str, environ: Mapping[str, str]) -> str:
    """A setup line, whose words can be paths; the others are quoted for the nodes as they are."""
    try:
        words = shlex.split(line)
    except ValueError:
        return line  # the plan refuses it
    made = [_path(key, word, environ) if re.match(r"~|\\?\$[\w{]+\}?(/|$)", word) else word for word in words]
    return line if made == words else shlex.join(made)


def _path(key: str, value: str, environ: Mapping[str, str]) -> str:
    if "${" in _OF_SHELL.sub("", value):
        return value  # an interpolation of the configuration, which is resolved later
    value = _OF_SHELL.sub(r"\1", value)

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if SECRET_NAME.search(name) or _KEY.search(name):
            raise ConfigError(
                f"{key} refers to ${name}, whose name is that of a secret, and configurations are written to files; "
                f"remove it: jobs inherit {name}"
            )
        if name not in environ:
            close = nearest(name, environ)
            hint = f"did you mean ${close}?" if close else "set it, or write the path itself"
            raise ConfigError(f"{key}={value}: the variable {name} is not set in this shell; {hint}")
        return environ[name]

    made = _VARIABLE.sub(put, value)
    if made.startswith("~"):
        try:
            made = str(Path(made).expanduser())
        except RuntimeError:  # no such user
            return value
    return made
