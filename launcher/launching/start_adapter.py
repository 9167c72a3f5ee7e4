"""An adapter as the start of a run: model.adapter, or the folder of an adapter that is given as model.name_or_path.

Its own settings become those of the run, so that it is trained on as it was made.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from launcher.config import RopeScalingConfig, RopeType
from launcher.errors import ConfigError
from launcher.hub import cache_folder, find_snapshot, is_path
from launcher.launching.model_gate import ADAPTER
from launcher.plan.positions import own_rope
from launcher.plugins.base import find_class
from launcher.reading import object_in
from launcher.run.record import is_kind

_KEY = "model.adapter"
_WEIGHTS = "adapter_model.safetensors"
_OF_MODEL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files of a full model. A config.json can stand beside an adapter too."""
_TEXTS = Sequence[str] | str | None
_KINDS: Mapping[str, Any] = {
    "base_model_name_or_path": str | None, "revision": str | None, "r": int, "lora_alpha": float, "target_modules": _TEXTS,
    "modules_to_save": Sequence[str] | None, "exclude_modules": _TEXTS, "target_parameters": Sequence[str] | None,
    "layers_to_transform": Sequence[int] | int | None, "rank_pattern": Mapping[str, int] | None,
    "alpha_pattern": Mapping[str, float] | None,
    "trainable_token_indices": Mapping[str, Sequence[int]] | Sequence[int] | None,
}  # fmt: skip
"""Key of adapter_config.json -> type of its values. Source: peft 0.19, tuners/lora/config.py."""


def fit_to_adapter(cfg: DictConfig, typed: Iterable[str]) -> str:
    """One line about the adapter that the run starts from, empty if there is none; `cfg` is changed.

    ConfigError for an adapter that cannot be read, or that the run's plugins cannot train.
    """
    model = cfg.get("model")
    if not isinstance(model, DictConfig) or OmegaConf.is_missing(model, "name_or_path"):
        return ""
    own = {override.lstrip("+~").partition("=")[0]: override.partition("=")[2] for override in typed}
    name = str(model.name_or_path)
    given = Path(name).expanduser() if name.startswith("~") else Path(name)
    as_model = (given / ADAPTER).is_file() and not any((given / name).exists() for name in _OF_MODEL)
    if as_model and not model.adapter:
        with read_write(cfg), open_dict(cfg):
            model.adapter = str(given.absolute())
    if not model.adapter:
        return ""
    typed_name = str(model.adapter)
    folder, other = _folder(typed_name, cfg), ""
    values = _settings(typed_name, folder)
    with read_write(cfg), open_dict(cfg):
        model.adapter = str(folder)
        base = _base(values, folder)
        if as_model or "model.name_or_path" not in own:
            if base is None:
                raise ConfigError(
                    f"{_KEY}={typed_name} does not name its base model; set model.name_or_path=BASE"
                )
            other = _instead(name, base) if not as_model else ""
            model.name_or_path = base
            if values.get("revision") and "model.revision" not in own:
                model.revision = values["revision"]
        elif base is not None and base != model.name_or_path:
            other = (
                f"; it was trained on {base}, and model.name_or_path={model.name_or_path} is taken for a copy of it: leave "
                "model.name_or_path out if it is another model"
            )
        _fit_positions(cfg, folder)
        how = "merged into it first"
        if model.adapter_mode.name == "train":
            _fit_plugin(cfg, values, own, typed_name)
            _fit_tokens(cfg, values, folder)
            how = "trained on"
    return f"{_KEY}={folder} is {how}; its base is {model.name_or_path}{other}"


def _instead(chosen: str, base: str) -> str:
    """A part of a sentence for a model that the adapter's base replaces."""
    return "" if chosen == base else f", which replaces {chosen}"


def _folder(name: str, cfg: DictConfig) -> Path:
    """The absolute folder of the adapter: as given, or of the hub's cache, into which it is fetched."""
    path = Path(name).expanduser() if name.startswith("~") else Path(name)
    if (path / ADAPTER).is_file():
        return path.absolute()
    if path.is_dir():
        kind = (
            "a full model"
            if (path / "config.json").is_file()
            else "no adapter: it has no adapter_config.json"
        )
        raise ConfigError(
            f"{_KEY}={name} is {kind}; give the folder of an adapter, or use model.name_or_path={name}"
        )
    if is_path(name) or name.count("/") != 1:
        raise ConfigError(
            f"{_KEY}={name} is not a folder here; check the path, or give the id of an adapter on the hub"
        )
    environ = {**os.environ, **cast("Mapping[str, str]", OmegaConf.to_container(cfg.cluster.env))}
    found = find_snapshot(cache_folder(environ), name, "main")
    if found is None or not (found / ADAPTER).is_file():
        raise ConfigError(
            f"{_KEY}={name} is not a folder here and not in the hub's cache {cache_folder(environ)}; run `hf download {name}` "
            "where the hub can be reached"
        )
    return found.absolute()


def _settings(name: str, folder: Path) -> dict[str, Any]:
    """The adapter's settings; ConfigError if it is not a causal language model's LoRA adapter with weights."""
    values = object_in(folder / ADAPTER)
    if values is None:
        raise ConfigError(f"{_KEY}={name}: {folder / ADAPTER} cannot be read; copy the adapter again")
    for key, wanted in _KINDS.items():
        if key in values and not is_kind(values[key], wanted):
            raise ConfigError(
                f"{_KEY}={name}: {folder / ADAPTER} has {key}={str(values[key])[:60]}, which peft does not write; copy the "
                "adapter again"
            )
    kind = values.get("peft_type")
    if kind != "LORA":
        raise ConfigError(
            f"{_KEY}={name} is an adapter of type {kind}; only LoRA adapters can be trained on or merged"
        )
    if values.get("task_type") not in (None, "CAUSAL_LM"):
        raise ConfigError(
            f"{_KEY}={name} was trained for {values['task_type']}, and not to write text; use another adapter"
        )
    if not (folder / _WEIGHTS).is_file():
        raise ConfigError(
            f"{_KEY}={name} has no {_WEIGHTS}; convert it with peft's save_pretrained, or copy it again"
        )
    return values


def _fit_positions(cfg: DictConfig, folder: Path) -> None:
    """Takes over the stretched positions with which the adapter was trained; ConfigError if other ones are typed."""
    rope = own_rope(object_in(folder / "config.json") or {})
    if rope.get("rope_type") not in RopeType.__members__:
        return
    names = {one.name for one in fields(RopeScalingConfig)}
    trained = {name: value for name, value in rope.items() if name in names}
    typed = cfg.model.rope_scaling
    if typed.factor is None:
        OmegaConf.update(cfg, "model.rope_scaling", trained, merge=True)
        return
    given = {name: getattr(value, "name", value) for name, value in typed.items() if value is not None}
    if any(given.get(name, value) != value for name, value in trained.items()):
        raise ConfigError(
            f"model.rope_scaling is not that of {_KEY}={folder}, which was trained with {trained}; leave it out to use that"
        )


def _base(values: Mapping[str, Any], folder: Path) -> str | None:
    base = values.get("base_model_name_or_path")
    return str(base) if base else None


def _fit_plugin(cfg: DictConfig, values: Mapping[str, Any], own: Mapping[str, str], name: str) -> None:
    """Gives the run's LoRA plugin the settings of the adapter; ConfigError for a typed one that differs."""
    from launcher.plugins.lora_options import (
        LoRAOptions,
        options_of,  # imported here: most runs start from no adapter
    )

    for key, config in cfg.plugins.items():
        target = config.get("_target_") if isinstance(config, DictConfig) else None
        if not target or not issubclass(find_class(f"plugins.{key}", str(target)), LoRAOptions):
            continue
        for ours, value in options_of(values).items():
            typed = f"plugins.{key}.{ours}"
            if typed in own and OmegaConf.select(cfg, typed) != value:
                raise ConfigError(
                    f"{typed}={own[typed]} differs from {value} of {_KEY}={name}, which is trained on; leave it out, or "
                    "merge the adapter first: model.adapter_mode=merge"
                )
            config[ours] = value
        config["init_lora_weights"] = True
        return
    raise ConfigError(
        f"{_KEY}={name} is trained on by the plugin lora or qlora, and plugin=[...] has neither; add lora, or merge the "
        "adapter first: model.adapter_mode=merge"
    )


def _fit_tokens(cfg: DictConfig, values: Mapping[str, Any], folder: Path) -> None:
    """Gives the run the chat template and the tokens with which the adapter was trained, if it trained any."""
    indices = values.get("trainable_token_indices")
    model = cfg.model
    if not indices or model.chat_template or model.added_tokens:
        return
    ids: set[Any] = set(
        next(iter(cast("dict[str, list[int]]", indices).values())) if isinstance(indices, dict) else indices
    )
    found: Any = (object_in(folder / "tokenizer.json") or {}).get("added_tokens", [])
    listed = cast("list[dict[str, Any]]", found) if is_kind(found, Sequence[Mapping[str, Any]]) else []
    if not listed:
        raise ConfigError(
            f"{_KEY}={folder} trains tokens of its own and comes without a tokenizer; set model.chat_template and "
            "model.added_tokens as they were when it was trained"
        )
    model.chat_template = str(folder)
    model.added_tokens = [
        str(one.get("content"))
        for one in listed
        if isinstance(one.get("id"), int) and one["id"] in ids and not one.get("special")
    ]
