"""Whether two models are equal: their logits on fixed prompts, and the largest difference that rounding explains."""

from typing import Any

import torch

from launcher.errors import RunError

TEXTS = ("The capital of France is", "def fibonacci(n):\n    ", "Q: What is 17 plus 25?\nA:")
_QUESTION = [{"role": "user", "content": "Write one sentence about the sea."}]
_MOST_TOKENS, _LAST = 48, 6
"""Most tokens of a prompt, and number of last positions whose logits are compared; a 128k vocabulary then needs 12 MiB."""
TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference (see `difference`) by the coarser number format of two models. Rounding a weight to fp16 or bf16 changes
it by a relative 2^-11 or 2^-8 at most, and tens of layers, or other kernels for the same sum, add up to several times that.
Models in fp32 are also compared across devices."""


def prompts(tokenizer: Any) -> list[list[int]]:
    """Token ids of the fixed prompts, and of a chat if the tokenizer has a template: chats show what was learned."""
    found: list[list[int]] = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(_QUESTION, tokenize=False, add_generation_prompt=True)
        found.append(tokenizer(text, add_special_tokens=False)["input_ids"])
    return [ids[:_MOST_TOKENS] for ids in found]


def logits_of(model: Any, ids: list[list[int]]) -> torch.Tensor:
    """[positions, classes] in fp32 on the CPU, prompt after prompt. Collective under ZeRO-3 and FSDP2."""
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
    """|found - trained| / |trained| over all positions; the logits of each position are centred, because softmax ignores a
    constant. RunError if they are not comparable or not finite."""
    if found.shape != trained.shape:
        raise RunError(
            f"the logits of the export have shape {list(found.shape)}, and those of the trained model {list(trained.shape)}; "
            "it is not the same model"
        )
    if not bool(torch.isfinite(found).all()):
        raise RunError(
            "the logits of the export are not finite, because its number format is too narrow; use --dtype bf16 or fp32"
        )
    if trained.shape[-1] > 1:
        found, trained = (logits - logits.mean(-1, keepdim=True) for logits in (found, trained))
    return float((found - trained).norm() / trained.norm().clamp_min(1e-6))


def tolerance(*dtypes: str) -> float:
    """The largest difference that rounding explains, between models in these formats."""
    return max(TOLERANCE[dtype.removeprefix("torch.")] for dtype in dtypes)


def check_same(found: torch.Tensor, trained: torch.Tensor, limit: float) -> float:
    """The difference of the logits; RunError if it exceeds `limit`."""
    apart = difference(found, trained)
    if apart > limit:
        raise RunError(
            f"the logits of the export differ from those of the trained model by {apart:.2g} of their norm, and rounding "
            f"explains only {limit:g}; has the base model changed since training?"
        )
    return apart
