"""A look at the model before a launch: whether its folder is there, and whether it is a model that can be trained here.

It reads config.json from a folder, or from the hub's cache if the model was fetched before. It asks no hub.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from launcher.config import Config, Init
from launcher.errors import ConfigError
from launcher.hub import cache_folder, find_snapshot, is_path
from launcher.launching.model_name import check_hub_name
from launcher.reading import object_in

ADAPTER = "adapter_config.json"
_VISION_KEYS = (
    "vision_config",
    "vision_tower",
    "vision_model",
    "image_token_id",
    "image_token_index",
    "img_processor",
)
"""Keys that only the config.json of a model for images has."""
_AUDIO_KEYS = ("audio_config", "audio_token_id", "audio_token_index")
_NAMED = re.compile(
    r"(?i)(^|[-_.])(vl\d*|vision|llava|paligemma\d*|idefics\d*|pixtral|internvl\d*|smolvlm\d*|moondream\d*)([-_.]|$)"
)
"""Words by which the name of a vision-language checkpoint on a hub is recognised."""
_PACKED = re.compile(
    r"(?i)(^|[-_.])(gptq|awq|fp8|nvfp4|w4a16|w8a8|w8a16|hqq|exl2|aqlm)([-_.]|$)|^(?P<mlx>mlx)-community/"
)
"""Words by which the name of a checkpoint on a hub with packed weights that cannot be trained is recognised."""


def folder_of(config: Config) -> Path | None:
    """The folder with the model's files: its own, or the hub's cache; None if no file of it is on this machine."""
    model = config.model
    if model.init is Init.random or model.name_or_path.startswith("package:"):
        return None
    own = Path(model.name_or_path)
    if own.is_dir():
        return own
    environ = {**os.environ, **config.cluster.env}
    return find_snapshot(cache_folder(environ), model.name_or_path, model.revision or "main")


def check_model(config: Config) -> dict[str, Any] | None:
    """The model's config.json, None if it is not on this machine; ConfigError for a model that cannot be trained.

    Those are a folder that is not there or holds no model, and a checkpoint that is not a causal language model of text.
    """
    model = config.model
    told = f"model.name_or_path={model.name_or_path}"
    if model.init is Init.random or model.name_or_path.startswith("package:"):
        return None
    if not model.name_or_path.strip():
        check_hub_name("model.name_or_path", model.name_or_path)
    own = Path(model.name_or_path)
    if own.is_file():
        raise ConfigError(f"{told} is a file; give the folder that it is in{_gguf(own)}")
    if is_path(model.name_or_path) and not own.is_dir():
        raise ConfigError(
            f"{told} is not a folder here; check the path, or give the id of a model on the hub"
        )
    folder = folder_of(config)
    if folder is None:
        check_hub_name("model.name_or_path", model.name_or_path)
        if found := _NAMED.search(model.name_or_path.rpartition("/")[2]):
            raise ConfigError(
                f"{told} is a vision-language model by its name ({found[2]}); this launcher trains language models of text: "
                "use a text-only model, or a local folder if it is one"
            )
        if found := _PACKED.search(model.name_or_path):
            raise ConfigError(
                f"{told} has packed weights by its name ({found['mlx'] or found[2]}), which cannot be trained here; use the "
                "model's checkpoint with plain weights, which plugin=[qlora] packs in 4 bits, or a local folder if its weights "
                "are plain"
            )
        return None
    values = object_in(folder / "config.json")
    if values is None:
        if own.is_dir() and not model.gguf_file:
            raise ConfigError(f"{told} is not the folder of a model: {_lacks(own)}")
        return None
    refuse_other_kinds(told, values)
    return values


def refuse_other_kinds(told: str, values: Mapping[str, Any]) -> None:
    """ConfigError if a config.json is not that of a causal language model of text; `told` begins the sentence."""
    names = values.get("architectures")
    class_name = (
        str(cast("list[Any]", names)[0])
        if isinstance(names, list) and names
        else str(values.get("model_type"))
    )
    kind = ""
    if any(values.get(key) is not None for key in _VISION_KEYS):
        kind = "a vision-language checkpoint"
    elif any(values.get(key) is not None for key in _AUDIO_KEYS):
        kind = "a checkpoint for audio"
    elif values.get("is_encoder_decoder"):
        kind = "an encoder-decoder model"
    elif class_name.endswith(("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification")):
        kind = "not a model that writes text"
    if kind:
        raise ConfigError(
            f"{told} is {kind} ({class_name}); this launcher trains causal language models of text: use a text-only model, "
            "such as one of conf/model"
        )


def shipped_code(model_type: Any) -> str:
    """Why a model is not loaded whose code comes with it, and the key that allows it."""
    return (
        f"its code is not part of transformers (model_type {model_type}) but shipped with it; model.trust_remote_code=true "
        "runs that code, which can do anything that you can do"
    )


def _gguf(file: Path) -> str:
    return f", with model.gguf_file={file.name}" if file.suffix == ".gguf" else ""


def _lacks(folder: Path) -> str:
    """What is wrong with a folder without a config.json that can be read, and the way out."""
    if (folder / "config.json").is_file():
        return "its config.json is not a JSON object; copy the model again"
    if found := sorted(folder.glob("*.gguf")):
        return f"it has GGUF weights; add model.gguf_file={found[0].name}"
    if (folder / "params.json").is_file():
        return "it has Meta's or Mistral's own files; use the converted checkpoint, which has a config.json"
    inner = sorted(one.parent.name for name in ("config.json", ADAPTER) for one in folder.glob(f"*/{name}"))
    if inner:
        return f"it has no config.json, but its folder {inner[-1]} is one; use {folder / inner[-1]}"
    return "it has no config.json; give the folder that transformers' save_pretrained wrote"
