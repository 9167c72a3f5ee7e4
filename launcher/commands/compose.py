"""argv -> composed configuration, with every refusal of Hydra's turned into one line that names the way out."""

import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from launcher.config import Config, register
from launcher.errors import ConfigError, LauncherError, nearest, unknown
from launcher.resources import resource_dir

# Free-form mappings, which Hydra would only let a user add to with a `+`.
_OPEN = ("cluster.sbatch.", "cluster.env.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One composed configuration and what was typed for it."""

    cfg: DictConfig
    config: Config
    experiment: str | None
    overrides: list[str]


def compose(arguments: list[str], task: Callable[[Composed], None]) -> None:
    """Calls `task` for the configuration that Hydra composes, or for each of a multirun's.

    ConfigError for whatever Hydra and OmegaConf refuse.
    """
    register()

    def run(cfg: DictConfig) -> None:
        settings = HydraConfig.get()
        experiment = settings.runtime.choices.get("experiment")
        overrides = list(settings.overrides.task)
        task(Composed(cfg=cfg, config=to_config(cfg), experiment=experiment, overrides=overrides))

    arguments = [_opened(argument) for argument in arguments]
    decorated = hydra.main(version_base="1.3", config_path=str(resource_dir("conf")), config_name="config")(run)
    before, sys.argv = sys.argv, ["launcher", *arguments]
    # Hydra then raises its errors instead of printing them over many lines and leaving.
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        decorated()
    except LauncherError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, arguments)) from None
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def to_config(cfg: DictConfig) -> Config:
    """The typed configuration; ConfigError for a value that is missing."""
    try:
        config = OmegaConf.to_object(cfg)
    except MissingMandatoryValue as error:
        key = str(error.full_key or error.key)
        way_out = "choose an experiment, such as +experiment=quickstart, or set it" if key == "name" else f"set {key}=..."
        raise ConfigError(f"{key} has no value; {way_out}") from None
    assert isinstance(config, Config)
    return config


def explain(error: Exception, arguments: list[str]) -> str:
    """One sentence for an error of Hydra's or OmegaConf's."""
    for cause in _causes(error):
        text = str(cause)
        key = _unknown_key(cause, text, arguments)
        if key:
            return unknown_key(key)
        option = re.search(r"Could not find '([^']+)'\n\nAvailable options in '([^']*)':\n((?:\t.*\n?)*)", text)
        if option:
            group = option[2]
            return unknown(group or "config", option[1].removeprefix(f"{group}/"), _options(option[3]))
        if re.search(r"Could not find '([^']+)'", text):
            return _one_line(text)
    text = _one_line(str(error))
    for argument in arguments:
        name, _, value = argument.lstrip("+~").partition("=")
        if name and f"full_key: {name}" in text:
            reason = text.split(" full_key:")[0]
            return f"{argument.lstrip('+')}: {reason}; it must be {_expected(name)}"
        if value and f"'{argument}'" in text and "parsing override" in text:
            return f"{text}; quote the value, as in '{name}=\"...\"'"
    return text.split(" full_key:")[0]


def unknown_key(key: str) -> str:
    """One sentence for a key that the configuration does not have, with the nearest that it has."""
    known = list(known_keys())
    leaf = key.rpartition(".")[2]
    close = nearest(key, known)
    same_leaf = [name for name in known if name.rpartition(".")[2] == leaf and "." in name]
    if same_leaf:
        close = max(same_leaf, key=lambda name: difflib.SequenceMatcher(None, name, key).ratio())
    hint = f"; did you mean {close}?" if close else "; python -m launcher --cfg job lists them all"
    return f"unknown key {key}{hint}"


def known_keys(schema: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the configuration, groups and shipped plugins included."""
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        name = f"{prefix}{field.name}"
        yield name
        nested = _dataclass_of(hints[field.name])
        if nested:
            yield from known_keys(nested, f"{name}.")
    if schema is Config:
        for path in sorted((resource_dir("conf") / "plugin").glob("*.yaml")):
            for option in OmegaConf.load(path):
                yield f"plugins.{path.stem}.{option}"


def _dataclass_of(hint: Any) -> type | None:
    return next((kind for kind in (hint, *get_args(hint)) if dataclasses.is_dataclass(kind) and isinstance(kind, type)), None)


def _expected(key: str) -> str:
    """What a key's type is called in a sentence."""
    schema: type = Config
    hint: Any = None
    for name in key.split("."):
        hint = get_type_hints(schema).get(name)
        schema = _dataclass_of(hint) or schema
    kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    for kind in (hint, *get_args(hint)):
        if kind in kinds:
            return kinds[kind]
        if isinstance(kind, type) and hasattr(kind, "__members__"):
            return f"one of {', '.join(kind.__members__)}"
    return "of the type that conf/ shows"


def _unknown_key(cause: BaseException, text: str, arguments: list[str]) -> str | None:
    override = re.search(r"Could not override '([^']+)'", text)
    if override:
        group = override[1]
        return group.removeprefix("/") if "No match in the defaults list" in text else group.rstrip(".")
    append = re.search(r"Could not append '\+?([^']+)'", text)
    if append:
        return None
    if re.search(r"Key '[^']+' (is not in struct|not in '\w+')", text):
        full = getattr(cause, "full_key", None)
        name = re.search(r"Key '([^']+)'", text)
        typed = [argument.lstrip("+~").partition("=")[0] for argument in arguments]
        if full and full in typed:
            return str(full)
        return next((key for key in typed if name and key.endswith(name[1])), str(full) if full else None)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _options(block: str) -> list[str]:
    return [name for name in (line.strip() for line in block.splitlines()) if name and name != "schema"]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _opened(argument: str) -> str:
    """`++` before an override of a free-form mapping, whose keys Hydra cannot know."""
    if argument.startswith(_OPEN):
        return f"++{argument}"
    return argument

