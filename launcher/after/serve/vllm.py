"""vLLM's own server for a model of a run: whether vLLM can serve it, and the command that starts it.

Derived from vLLM's documentation ("vllm serve", "LoRA Adapters"); it has not been run here.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.after.serve.endpoint import Endpoint
from launcher.config import Init, ModelConfig, read_config
from launcher.errors import PackageError, RunError
from launcher.reading import object_in
from launcher.run import RunDir

_PROGRAM = "vllm"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values of --max-lora-rank above 1. Source: vLLM's vllm/config/lora.py, MaxLoRARanks."""
_MERGE = "write one model with launcher export --merged --to FOLDER, and serve that folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmModel:
    """A model as vLLM loads it."""

    model: str
    """A folder with a full model, or the base of the adapter: a folder or a hub id."""
    revision: str | None = None
    adapter: Path | None = None
    rank: int = 0
    """The largest rank of the adapter's matrices."""
    trust_remote_code: bool = False


def program() -> str | None:
    """The path of vLLM's command; None if it is not installed."""
    return shutil.which(_PROGRAM)


def check_program() -> str:
    """The same; PackageError if it is not installed."""
    found = program()
    if found is None:
        raise PackageError(
            "--engine vllm needs vLLM, whose command vllm is not on PATH; pip install vllm, or use --engine worker"
        )
    return found


def vllm_model(folder: Path, run: RunDir | None) -> VllmModel:
    """The model in a folder, which is the export of `run` or another one; RunError if vLLM cannot serve it as it is."""
    config = read_config(str(run.config)).model if run else None
    if not (folder / "adapter_config.json").is_file():
        return VllmModel(model=str(folder), trust_remote_code=bool(config and config.trust_remote_code))
    adapter = object_in(folder / "adapter_config.json")
    if adapter is None:
        raise RunError(f"{folder}/adapter_config.json is not a JSON object; was it edited?")
    if why := _unknown_to_vllm(adapter) or (_base_is_no_folder(config) if config else None):
        raise RunError(f"vLLM cannot serve {folder}: {why}; {_MERGE}")
    if (folder / "config.json").is_file():
        raise RunError(
            f"vLLM cannot serve {folder}: its base has stretched positions (config.json); {_MERGE}"
        )
    if run and _is_quantized(run):
        raise RunError(
            f"vLLM cannot serve {folder}: it was trained on quantized weights, and vLLM would use plain ones; {_MERGE}"
        )
    ranks: dict[str, int] = adapter.get("rank_pattern") or {}
    return VllmModel(
        model=_base(run, config) if run and config else str(adapter["base_model_name_or_path"]),
        revision=config.revision if config else adapter.get("revision"),
        adapter=folder,
        rank=max([int(adapter["r"]), *ranks.values()]),
        trust_remote_code=bool(config and config.trust_remote_code),
    )


def _unknown_to_vllm(adapter: dict[str, Any]) -> str | None:
    """The part of the adapter that vLLM does not load: it refuses DoRA and modules_to_save, and does not read the other keys.

    Source: vLLM's vllm/lora/peft_helper.py, which was read and not run.
    """
    parts = {
        "use_dora": "it is a DoRA adapter",
        "modules_to_save": "it has whole modules (modules_to_save)",
        "trainable_token_indices": "it has trained embeddings of tokens",
        "target_parameters": "it adapts parameters outside of linear layers",
    }
    found = [said for key, said in parts.items() if adapter.get(key)]
    if adapter.get("bias", "none") != "none":
        found.append("it has trained biases")
    return found[0] if found else None


def _base_is_no_folder(config: ModelConfig) -> str | None:
    if config.init is Init.random:
        return "its base was made with random weights and is in no folder"
    if config.name_or_path.startswith("package:") or config.gguf_file:
        return "its base is a GGUF file or comes from a Python package"
    return None


def _base(run: RunDir, config: ModelConfig) -> str:
    folder = Path(run.launched_in(), config.name_or_path).expanduser()
    return str(folder) if folder.is_dir() else config.name_or_path


def _is_quantized(run: RunDir) -> bool:
    adapter: Any = run.read_json(run.plan).get("adapter")
    return isinstance(adapter, dict) and bool(adapter.get("four_bit") or adapter.get("eight_bit"))  # pyright: ignore


def command(program: str, one: VllmModel, name: str, endpoint: Endpoint, gpus: int) -> list[str]:
    """The argv of vLLM's server. The key is not in it: vLLM reads it from the environment."""
    words = [program, "serve", one.model, "--host", endpoint.host, "--port", str(endpoint.port)]
    words += ["--tensor-parallel-size", str(gpus)] if gpus > 1 else []
    words += ["--revision", one.revision] if one.revision else []
    words += ["--trust-remote-code"] if one.trust_remote_code else []
    if one.adapter is None:
        return [*words, "--served-model-name", name]
    rank = next((rank for rank in _RANKS if rank >= one.rank), one.rank)
    template = one.adapter / "chat_template.jinja"
    words += ["--chat-template", str(template)] if template.is_file() else []
    return [*words, "--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f"{name}={one.adapter}"]
