"""The adapter that a run starts from: it is merged into its base model before the ranks load the model."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from launcher.config import ModelConfig
from launcher.errors import ConfigError
from launcher.train.free_memory import fits
from launcher.train.upstream.transformers_single_process import single_process

_WEIGHTS = "adapter_model.safetensors"


def stamp(adapter: str) -> list[int]:
    """A value that changes whenever the adapter's weights change; ConfigError if they are not on this node."""
    try:
        found = Path(adapter, _WEIGHTS).stat()
    except OSError as error:
        raise ConfigError(
            f"model.adapter={adapter} cannot be read on this node ({error.strerror}); is it on a shared disk?"
        ) from None
    return [found.st_size, found.st_mtime_ns]


def merge_adapter(config: ModelConfig, source: tuple[str, str], folder: Path) -> None:
    """Writes the merged model with its tokenizer, in the base's number format; summed in fp32 if the host's memory allows."""
    from peft import PeftModel

    assert config.adapter is not None
    where, revision = source
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": config.trust_remote_code}
    has_own = Path(config.adapter, "tokenizer_config.json").is_file()
    tokenizer = (
        AutoTokenizer.from_pretrained(config.adapter)
        if has_own
        else AutoTokenizer.from_pretrained(where, **options)
    )
    known = AutoConfig.from_pretrained(where, **options)
    dtype = known.dtype or torch.float32
    with single_process(), torch.device("cpu"):
        files = sum(file.stat().st_size for file in Path(where).glob("*.safetensors"))
        wide = torch.float32 if fits(4.4 * files / dtype.itemsize) else dtype
        base = AutoModelForCausalLM.from_pretrained(where, dtype=wide, **options)
        if len(tokenizer) > base.get_input_embeddings().weight.shape[0]:
            base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        merged = PeftModel.from_pretrained(base, config.adapter).merge_and_unload(safe_merge=True)
        merged.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
