"""`plan --inspect`: counts a model of unknown architecture in a process that has torch and transformers, and keeps the shape.

It is kept in cache_dir by the content of the model's config.json, so that every later plan and launch of the model has a shape.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher.config import ArchitectureConfig, Config, Init
from launcher.errors import ConfigError
from launcher.hub import is_offline
from launcher.launching.model_gate import check_model
from launcher.plan.model import count_parameters, read_architecture, shape_from
from launcher.reading import object_in
from launcher.run import write_text

_TIMEOUT_S = 600.0


def inspected(config_json: Mapping[str, Any], cache_dir: str) -> ArchitectureConfig | None:
    """The shape that was counted for a config.json of this content; None if it was not counted."""
    known = object_in(_kept(config_json, cache_dir))
    try:
        return shape_from(known) if known else None
    except (ValueError, TypeError, KeyError, AttributeError):  # a damaged one is counted again
        return None


def inspect_model(config: Config) -> str:
    """One sentence on what was counted, after it is kept; ConfigError with the reason if the model cannot be counted."""
    model = config.model
    told = f"model.name_or_path={model.name_or_path}"
    if model.architecture is not None or model.init is Init.random:
        return f"--inspect counts nothing: model.architecture has the shape of {model.name_or_path}"
    if model.gguf_file or model.name_or_path.startswith("package:"):
        raise ConfigError(
            f"{told} cannot be inspected: GGUF weights have no config.json; set model.architecture.*"
        )
    values = check_model(config)
    if values is not None:
        if read_architecture(values) is not None:
            return f"--inspect counts nothing: the planner knows model_type {values.get('model_type')}"
        if found := inspected(values, config.cache_dir):
            return _said(model.name_or_path, found, "counted before")
    found = _counted(config, told)
    values = check_model(config)
    if values is not None:
        kept = _kept(values, config.cache_dir)
        with suppress(OSError):  # then the next plan cannot use it, and says so
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, json.dumps(found))
    if values is None or inspected(values, config.cache_dir) is None:
        raise ConfigError(
            f"cache_dir={config.cache_dir} cannot be written, and what --inspect has counted is kept there; choose another one"
        )
    return _said(model.name_or_path, shape_from(found), "counted on the meta device")


def _counted(config: Config, told: str) -> dict[str, Any]:
    """The values of the shape, from the process that counts."""
    model = config.model
    wanted = {
        "name": model.name_or_path,
        "revision": model.revision or "main",
        "code": model.trust_remote_code,
    }
    environ = {**os.environ, **config.cluster.env}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "launcher.train.count", json.dumps(wanted)],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{told} cannot be inspected: counting took longer than {_TIMEOUT_S:g} s") from None
    answer: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            with suppress(ValueError):
                answer = json.loads(line)
    if "shape" in answer:
        return answer["shape"]
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    why = str(answer.get("error") or last)
    offline = "; HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set" if is_offline(environ) else ""
    raise ConfigError(why if why.startswith(told) else f"{told} cannot be inspected: {why}{offline}")


def _said(name: str, shape: ArchitectureConfig, how: str) -> str:
    kinds = sum(1 for one in shape.blocks or () if one.layers)
    alike = "" if kinds < 2 else f" of {kinds} kinds"
    return (
        f"{name} ({shape.model_type}) has {count_parameters(shape) / 1e9:.3g} billion parameters in "
        f"{shape.num_hidden_layers} blocks{alike}, {how}; later plans and launches know it"
    )


def _kept(config_json: Mapping[str, Any], cache_dir: str) -> Path:
    digest = hashlib.sha256(json.dumps(config_json, sort_keys=True).encode()).hexdigest()[:32]
    return Path(cache_dir).absolute() / "architectures" / f"{digest}.json"
