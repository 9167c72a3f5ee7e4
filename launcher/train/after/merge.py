"""Merging a trained adapter into its base model. Sums are computed in fp32 if the memory of this host allows it."""

from pathlib import Path
from typing import Any

import torch

from launcher.errors import RunError
from launcher.plugins.decide import Decided
from launcher.train.after.compare import logits_of
from launcher.train.after.load_back import open_base
from launcher.train.free_memory import fits


def merge(
    adapter: Path, decided: Decided, dtype: torch.dtype, ids: list[list[int]]
) -> tuple[Any, torch.Tensor]:
    """The merged model in `dtype`, and the logits of its base model on the prompts.

    The sum is computed in fp32, if that fits into the memory of this host, and rounded once. A 4-bit base is dequantised first,
    because the adapter was trained over its rounded weights and not over the original ones.
    """
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTuner

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
