"""The models that clients can fine-tune, by the operator's file: a name for clients, and the keys of a run.

    models:
      smollm2: {extends: quickstart, methods: {dpo: {trainer: {learning_rate: 5.0e-5}}}}
    run: {cluster: slurm, resources: {time: 01:00:00}}      # for every model
    at_once: 8

A request names a model of this list; no text of a request is ever taken for a path or a key.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.api.data_dir import DataDir
from launcher.clusters.registry import choose_kind, find_cluster
from launcher.errors import ConfigError, unknown
from launcher.launching.compose import compose
from launcher.launching.own_file.source import construct, parse_source, read_source
from launcher.managed.methods import METHODS
from launcher.run import write_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEYS = ("models", "run", "at_once", "config_dir")
_DECIDED = (
    "name", "runs_dir", "cache_dir", "dry_run", "resume", "seed", "data.path", "data.eval_path", "data.sources",
    "trainer.num_train_epochs", "trainer.max_steps", "trainer.kind", "batch.global_batch_size", "batch.micro_batch_size",
)  # fmt: skip
"""Keys of a run that the server sets itself."""
_QUEUED, _HERE = 64, 1
"""The usual at_once with a scheduler's queue, and on this machine."""
_USUAL: Mapping[str, Any] = {
    "smollm2-135m": {
        "extends": "quickstart",
        "trainer": {"sample_prompt": None},
        "methods": {"dpo": {"trainer": {"learning_rate": 5e-5, "packing": False}}},
    },
    "tiny": {
        "extends": "tiny",
        "trainer": {"packing": False},
        "methods": {"dpo": {"trainer": {"learning_rate": 1e-3}}},
    },
}
"""What is offered without a file: the models of the first hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """One model with one method."""

    settings: Path
    """The file that a job's own file extends."""
    learning_rate: float
    """What learning_rate_multiplier=1 means."""
    ranks: int
    """Ranks of a job: its batch is a multiple of their number."""
    queued: bool
    """Whether its jobs wait in a scheduler's queue; otherwise they run on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What the server offers."""

    models: Mapping[str, Mapping[str, OfferedModel]]
    """Name -> the API's name of a method -> what is offered."""
    at_once: int
    """Most jobs that are in the cluster's queue or running."""
    queued: bool
    """Whether the jobs of some model wait in a scheduler's queue."""
    config_dir: Path | None
    """The site's own files, as with --config-dir."""


def read_offers(file: Path | None, data_dir: DataDir) -> Offers:
    """The offers in the operator's file, whose settings are written into the data folder; ConfigError for an invalid file."""
    given = _read(file) if file else {"models": dict(_USUAL)}
    shown = f"--site {file}"
    for key in given:
        if key not in _KEYS:
            raise ConfigError(f"{shown}: {unknown('key', str(key), _KEYS)}")
    models = _mapping(given.get("models"), f"{shown}: models")
    if not models:
        raise ConfigError(f"{shown}: models has no entry; write models: {{NAME: {{extends: EXPERIMENT}}}}")
    common = _mapping(given.get("run") or {}, f"{shown}: run")
    at_once = given.get("at_once")
    if at_once is not None and (type(at_once) is not int or at_once < 1):
        raise ConfigError(f"{shown}: at_once={at_once} must be an integer of at least 1")
    config_dir = given.get("config_dir")
    folder = _from_file(str(config_dir), file) if config_dir else None
    found: dict[str, dict[str, OfferedModel]] = {}
    for name, keys in models.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{shown}: models: {name} must be 1 to 64 of A-Z a-z 0-9 . _ -, and start with a letter or digit"
            )
        settings = _merged(common, _mapping(keys, f"{shown}: models.{name}"))
        methods = _mapping(settings.pop("methods", {}), f"{shown}: models.{name}.methods")
        for method in methods:
            if method not in METHODS:
                raise ConfigError(f"{shown}: models.{name}.methods: {unknown('method', method, METHODS)}")
        _resolve_extends(settings, file)
        for key in (*_keys(settings), *(key for one in methods.values() for key in _keys(one))):
            if key in _DECIDED:
                raise ConfigError(
                    f"{shown}: models.{name}: {key} is set by the server for each job; remove it"
                )
        found[name] = {}
        for method, known in METHODS.items():
            own = _mapping(methods.get(method, {}), f"{shown}: models.{name}.methods.{method}")
            merged = _merged(_merged(settings, {"trainer": {"kind": known.trainer}}), own)
            path = data_dir.models / f"{name}.{method}.yaml"
            write_text(path, yaml.safe_dump(merged, sort_keys=False))
            found[name][method] = _offer(path, folder)
    queued = any(offer.queued for methods in found.values() for offer in methods.values())
    usual = _QUEUED if queued else _HERE
    return Offers(models=found, at_once=at_once or usual, queued=queued, config_dir=folder)


def _offer(path: Path, config_dir: Path | None) -> OfferedModel:
    """The offer by the composed settings; ConfigError for settings that cannot be composed."""
    more = ["--config-dir", str(config_dir)] if config_dir else []
    (composed,) = compose([*more, "--config", str(path)])
    resources, kind = composed.config.resources, composed.config.cluster.kind
    ranks = 1 if resources.auto else resources.nodes * resources.gpus_per_node
    return OfferedModel(
        settings=path,
        learning_rate=composed.config.trainer.learning_rate,
        ranks=ranks,
        queued=find_cluster(choose_kind(kind, os.environ)).queued,
    )


def _read(file: Path) -> dict[str, Any]:
    return _mapping(construct(parse_source(read_source(file, str(file)))), str(file))


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a mapping of names to values")
    return {str(key): one for key, one in cast("dict[Any, Any]", value).items()}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, key by key; the second wins."""
    merged = dict(under)
    for key, value in over.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merged(cast("Any", before), cast("Any", value)) if both else value
    return merged


def _keys(value: Any, prefix: str = "") -> list[str]:
    """The full names of all keys."""
    if not isinstance(value, dict):
        return []
    found: list[str] = []
    for name, one in cast("dict[Any, Any]", value).items():
        found += [f"{prefix}{name}", *_keys(one, f"{prefix}{name}.")]
    return found


def _resolve_extends(settings: dict[str, Any], file: Path | None) -> None:
    """Makes a file that is extended absolute, since the settings are written elsewhere."""
    value = settings.get("extends")
    if file and isinstance(value, str) and ("/" in value or value.endswith((".yaml", ".yml"))):
        settings["extends"] = str(_from_file(value, file))


def _from_file(path: str, file: Path | None) -> Path:
    """The absolute path; a relative one starts from the folder of the operator's file."""
    folder = file.absolute().parent if file else Path.cwd()
    return folder / Path(path).expanduser()
