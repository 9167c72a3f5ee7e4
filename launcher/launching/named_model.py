"""What belongs to the name of a model: a file of conf/model names a model and states its revision and shape.

Whoever gives another `model.name_or_path` means another model, so what the file says of its own model is dropped.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from launcher.config import ArchitectureConfig
from launcher.resources import resource_dir

BELONGS = ("init", "revision", "gguf_file", "architecture")
"""Keys of the model group that describe one model and no other."""
NAME = "model.name_or_path"
_NAMED = re.compile(r"^(?:# )?name_or_path: (\S+)$", re.MULTILINE)
_VERSION = re.compile(r"(?i)-(instruct|chat|base|it|pt)(?=-v?\d|$)")


def fit_to_name(cfg: DictConfig, choice: str | None, folders: Sequence[str], typed: Iterable[str]) -> str:
    """One line about what was dropped, empty for nothing; `cfg` is changed.

    `choice` is the chosen file of conf/model, `folders` are those in which it is searched, and `typed` the overrides.
    """
    model = cfg.get("model")
    if not isinstance(model, DictConfig) or OmegaConf.is_missing(model, "name_or_path"):
        return ""
    with read_write(cfg), open_dict(cfg):
        name = model.name_or_path = _expanded(str(model.name_or_path))
        own = {override.lstrip("+~").partition("=")[0] for override in typed}
        files = [one for one in _files(choice, folders) if one.get("name_or_path") not in (None, name)]
        dropped: list[str] = []
        partly = ""
        for key in BELONGS:
            said = f"model.{key}"
            if said in own:
                continue
            if parts := sorted(one.rpartition(".")[2] for one in own if one.startswith(f"{said}.")):
                if any(file.get(key) for file in files):
                    partly = (
                        f"{said} takes only {', '.join(parts)} from you, and the rest from model={choice}"
                    )
                continue
            if any(key in file and _same(model[key], file[key]) for file in files):
                model[key] = "pretrained" if key == "init" else None
                dropped.append(said)
        if not dropped and not partly:
            return ""
        chosen = not own.isdisjoint(("model", "experiment"))
        known = None if model.architecture is not None else known_shape(name, folders)
        if known is not None:
            model.architecture = OmegaConf.merge(OmegaConf.structured(ArchitectureConfig), known[1])
    if not chosen:
        return ""  # the model of the defaults, which nobody has asked for
    taken = f"; the shape is that of model={known[0]}" if known else ""
    words = f"its {listed(dropped)} {_are(dropped)} dropped" if dropped else ""
    return (
        f"{NAME}={name} is not the model of model={choice}: {'; '.join(filter(None, [words, partly]))}{taken}"
    )


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _expanded(name: str) -> str:
    """The name with the home folder instead of ~, which no shell expands after `=`."""
    try:
        return str(Path(name).expanduser()) if name.startswith("~") else name
    except RuntimeError:  # no such user
        return name


def _same(value: Any, said: Any) -> bool:
    """Whether a composed value is the file's; for a shape, whether every key of the file is unchanged."""
    if isinstance(value, DictConfig):
        shape = cast("dict[str, Any]", OmegaConf.to_container(value))
        return isinstance(said, dict) and all(
            shape.get(key) == one for key, one in cast("dict[str, Any]", said).items()
        )
    return getattr(value, "name", value) == said


def _files(choice: str | None, folders: Sequence[str]) -> list[dict[str, Any]]:
    """The contents of the chosen file and of those that it builds on."""
    found: list[dict[str, Any]] = []
    names = [choice] if choice else []
    while names and len(found) < 10:
        file = next(
            (path for folder in folders if (path := Path(folder, "model", f"{names[0]}.yaml")).is_file()),
            None,
        )
        names = names[1:]
        content: Any = yaml.safe_load(file.read_text()) if file else None
        if isinstance(content, dict):
            values = cast("dict[str, Any]", content)
            found.append(values)
            names += [
                one for one in values.get("defaults", ()) if isinstance(one, str) and one[0] not in "_/"
            ]
    return found


def known_shape(name: str, folders: Sequence[str]) -> tuple[str, Any] | None:
    """The file of conf/model with this model, by its name, and the shape in it; None if there is none.

    A base model has the shape of its instruct version. The name of a packaged model on the hub stands in a comment.
    """
    alike: tuple[str, Any] | None = None
    for folder in dict.fromkeys([*folders, str(resource_dir("conf"))]):
        for file in sorted(Path(folder, "model").glob("*.yaml")):
            text = file.read_text()
            names = [one for one in _NAMED.findall(text) if _family(one) == _family(name)]
            shape = yaml.safe_load(text).get("architecture") if names else None
            if shape and name in names:
                return file.stem, shape
            if shape and alike is None:
                alike = (file.stem, shape)
    return alike


def _family(name: str) -> str:
    """The name without the words that tell a base model from its instruct version."""
    return _VERSION.sub("", name).lower()
