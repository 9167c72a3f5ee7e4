"""Merging an adapter into its base model: the adapter that a run starts from, before the ranks load the model, and a trained
one.

Sums are computed in fp32 if the memory of this host allows it.
"""

import contextlib
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from launcher.config import ModelConfig
from launcher.errors import ConfigError, RunError
from launcher.plugins.decide import Decided
from launcher.train.after.compare import logits_of
from launcher.train.upstream.transformers_single_process import single_process

_SHARE = 0.7
"""Share of free memory; the rest is for the loading itself and for other processes on the host."""
_WEIGHTS = "adapter_model.safetensors"


def fits(need_bytes: float) -> bool:
    """Whether this many bytes can be used without the risk that the kernel kills a process."""
    return need_bytes <= _SHARE * free_bytes()


def free_bytes() -> int:
    """Bytes that the kernel reports as available, or less if the cgroup of this process has less left.

    Source: proc(5), MemAvailable; the kernel's cgroup-v2 page, memory.max and memory.current.
    """
    free = 1 << 62
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text(encoding="utf-8").split("0::", 1)[1].splitlines()[0]
        for folder in [Path("/sys/fs/cgroup", group.lstrip("/")), Path("/sys/fs/cgroup")]:
            with contextlib.suppress(OSError, ValueError):
                limit = int((folder / "memory.max").read_text())
                free = min(free, limit - int((folder / "memory.current").read_text()))
    return max(free, 0)


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


def merge(
    adapter: Path, decided: Decided, dtype: torch.dtype, ids: list[list[int]]
) -> tuple[Any, torch.Tensor]:
    """The merged model in `dtype`, and the logits of its base model on the prompts.

    The sum is computed in fp32, if that fits into the memory of this host, and rounded once. A 4-bit base is dequantised first,
    because the adapter was trained over its rounded weights and not over the original ones.
    """
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTuner

    # imported here, because load_back imports the module that merges a start adapter
    from launcher.train.after.load_back import open_base

    plan = decided.plan
    wide = torch.float32 if fits(4.4 * (plan.model.parameters or 0)) else dtype
    quantised = plan.adapter is not None and (plan.adapter.four_bit or plan.adapter.eight_bit)
    base = open_base(decided, dtype=None if quantised else str(wide).removeprefix("torch."))
    if getattr(base, "hf_quantizer", None) is not None:
        base = base.dequantize(dtype=wide)
    base.to(wide)
    model = PeftModel.from_pretrained(base, adapter).eval()
    if not isinstance(model.base_model, BaseTuner) or not hasattr(model, "merge_and_unload"):
        raise RunError(
            f"{model.active_peft_config.peft_type.value} adapters do not change weights and cannot be merged; leave "
            "--merged out"
        )
    with model.disable_adapter():
        before = logits_of(model, ids)
    merged = model.merge_and_unload(safe_merge=True)
    _untie(merged)
    for parameter in merged.parameters():
        parameter.data = parameter.data.to(dtype)
    merged.config.dtype = dtype
    merged.config.use_cache = True
    return merged, before


def _untie(model: Any) -> None:
    """Makes input and output embeddings be saved separately if training has separated them (modules_to_save=[lm_head])."""
    first, last = model.get_input_embeddings(), model.get_output_embeddings()
    if first is None or last is None or not model.config.tie_word_embeddings:
        return
    if first.weight is not last.weight and not torch.equal(first.weight, last.weight):
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = {}
