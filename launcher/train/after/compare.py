"""Whether two models say the same: their logits on fixed prompts, and how far apart they may be."""

from typing import Any

import torch

from launcher.errors import RunError

TEXTS = ("The capital of France is", "def fibonacci(n):\n    ", "Q: What is 17 plus 25?\nA:")
_QUESTION = [{"role": "user", "content": "Write one sentence about the sea."}]
_MOST_TOKENS, _LAST = 48, 6
"""Tokens of a prompt, and its last positions whose logits are compared: a 128k vocabulary then needs 12 MiB."""
TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference (see `difference`) by the coarser of two models' formats. Rounding a weight to fp16 or bf16 changes it by
at most 2^-11 or 2^-8 of itself, and tens of layers, or other kernels for the same sum, add up to several times that; fp32 is
compared over devices too."""


def prompts(tokenizer: Any) -> list[list[int]]:
    """Token ids of the fixed prompts, and of a chat where the tokenizer has a template: there a chat model has learned most."""
    found: list[list[int]] = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(_QUESTION, tokenize=False, add_generation_prompt=True)
        found.append(tokenizer(text, add_special_tokens=False)["input_ids"])
    return [ids[:_MOST_TOKENS] for ids in found]


def logits_of(model: Any, ids: list[list[int]]) -> torch.Tensor:
    """[positions, classes] in fp32 on the CPU, prompt after prompt. Under ZeRO-3 and FSDP2 every rank must call it."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    rows: list[torch.Tensor] = []
    with torch.no_grad():
        for one in ids:
            tokens = torch.tensor([one], device=device)
            found = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits
            rows.append(found.reshape(-1, found.shape[-1])[-_LAST:].float().cpu())
    model.train(training)
    return torch.cat(rows)


def difference(found: torch.Tensor, trained: torch.Tensor) -> float:
    """|found - trained| / |trained| over all positions, each position's logits centred, since softmax takes no notice of a
    constant; RunError where they are not comparable or not finite."""
    if found.shape != trained.shape:
        raise RunError(
            f"the export gives logits of shape {list(found.shape)} and the trained model {list(trained.shape)}; "
            "it is not the same model"
        )
    if not bool(torch.isfinite(found).all()):
        raise RunError(
            "the export's logits are not finite: its number format is too narrow; use --dtype bf16 or fp32"
        )
    if trained.shape[-1] > 1:
        found, trained = (logits - logits.mean(-1, keepdim=True) for logits in (found, trained))
    return float((found - trained).norm() / trained.norm().clamp_min(1e-6))


def tolerance(*dtypes: str) -> float:
    """The largest difference that is rounding, between models in these formats."""
    return max(TOLERANCE[dtype.removeprefix("torch.")] for dtype in dtypes)


def check_same(found: torch.Tensor, trained: torch.Tensor, limit: float) -> float:
    """Their difference; RunError above `limit`."""
    apart = difference(found, trained)
    if apart > limit:
        raise RunError(
            f"the export's logits differ from the trained model's by {apart:.2g} of their size, and rounding explains "
            f"{limit:g}; nothing was kept; is the base model still the one that was trained from?"
        )
    return apart
