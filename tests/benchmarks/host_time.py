"""How long Python and PyTorch take to start the operations of a block, measured on a CPU with tiny shapes.

    python -m tests.benchmarks.host_time

The plan takes at least `OPERATION_S` for each operation of a pass (launcher/plan/compute_time.py). A CPU computes the tiny
kernels itself, where a GPU's host starts them. The figures are of the process's own CPU time, the least of 11 passes. Exit code
1 if the plan's time of any kind of block is not between half and double of what was measured.
"""

import sys
import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from launcher.plan.compute_time import ADAPTER_OPERATIONS, BLOCK_OPERATIONS, HOOKED_FORWARDS, OPERATION_S

FEW, MANY, PASSES = 4, 12, 14


def pass_s(blocks: int, *, lora: bool, checkpointing: str) -> float:
    """Seconds of a forward and backward pass of a Llama with so many blocks."""
    shape = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=blocks, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=128,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(shape)
    if lora:
        model.to(dtype=torch.bfloat16)
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
        model.enable_input_require_grads()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing == "reentrant"})
        model.enable_input_require_grads()
    model.train()
    tokens, seen = torch.ones(1, 2, dtype=torch.long), []
    for _ in range(PASSES):
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=tokens, use_cache=False).logits.float().sum()
        loss.backward()
        seen.append(time.process_time() - began)
    return min(seen[3:])


def main() -> int:
    torch.set_num_threads(1)
    print("| block | operations | measured ms | plan ms | us per operation |\n|---|---|---|---|---|")
    near = True
    for lora in (False, True):
        for checkpointing, again in (("", 0), ("reentrant", 1), ("hooked", HOOKED_FORWARDS)):
            few, many = (pass_s(count, lora=lora, checkpointing=checkpointing) for count in (FEW, MANY))
            block = (many - few) / (MANY - FEW)
            operations = (BLOCK_OPERATIONS + (7 * ADAPTER_OPERATIONS if lora else 0)) * (3 + again)
            planned = operations * OPERATION_S
            near &= 0.5 <= planned / block <= 2
            name = f"{'LoRA' if lora else 'full'} {checkpointing or 'no'} checkpointing"
            print(
                f"| {name} | {operations} | {block * 1e3:.2f} | {planned * 1e3:.2f} | {block / operations * 1e6:.1f} |"
            )
    print(
        "met" if near else "MISSED",
        ": the plan's times are between half and double of the measured ones",
        sep="",
    )
    return not near


if __name__ == "__main__":
    sys.exit(main())
