"""What others say about a case's memory, in GiB: accelerate, DeepSpeed, and torch's trackers over a step of fake tensors.

    python -m tests.benchmarks.memory_peers          needs no GPU: 135M and 0.5B, 1024 tokens, some minutes

The trackers see transformers' own model with its own loss, whose logits are whole: Triton's kernels take no fake tensors, and
neither do bitsandbytes'. RuntimeEstimator is left out: it estimates time, and asks a real GPU for its speed.
"""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from launcher.__main__ import main as launcher

KEYS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
)  # fmt: skip
Shape = tuple[int, int, int, int, int, int]
SMALL: dict[str, Shape] = {
    "135M": (576, 1536, 30, 9, 3, 49_152),
    "0.5B": (1024, 2816, 24, 16, 8, 128_256),
}
RANKS = 8
NAMES = ("accelerate", "DeepSpeed", "MemTracker")
STEPS = 2
"""The second has the optimizer's state from its beginning."""


def main() -> int:
    table = Table(
        "model", *NAMES, "the plan", f"FSDPMemTracker on {RANKS}", f"the plan on {RANKS}", "seconds",
        title="GiB of tensors, full fine-tune, 1024 tokens",
    )  # fmt: skip
    for name, shape in SMALL.items():
        begun = time.monotonic()
        one = (*peers(shape, "full", False, 1024), planned_gib(shape, "ddp", 1))
        several = (f"{sharded_gib(shape, False, 1024):.2f}", planned_gib(shape, "fsdp2", RANKS))
        table.add_row(name, *one, *several, f"{time.monotonic() - begun:.0f}")
    Console(width=120).print(table)
    return 0


def planned_gib(shape: Shape, strategy: str, ranks: int) -> str:
    """The launcher's plan of the same, without the context that the trackers do not see; its head is fused."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = launcher([
            "plan",
            "+experiment=tiny", "cluster=local", "--json", "plugin=[]", f"strategy={strategy}", "resources.device=cuda",
            "cluster.gpu_memory_gib=80", "cluster.context_gib=0", "cluster.fragmentation=0",
            "trainer.precision=bf16", "model.max_length=1024",
            "batch.micro_batch_size=1", f"batch.global_batch_size={ranks}", f"resources.gpus_per_node={ranks}",
            *(f"model.architecture.{key}={value}" for key, value in zip(KEYS, shape, strict=True)),
        ])  # fmt: skip
    assert code == 0, said.getvalue()
    return f"{json.loads(said.getvalue())['memory']['per_gpu_gib']['total']:.2f}"


def peers(shape: Shape, method: str, checkpointing: bool, length: int) -> tuple[str, str, str]:
    """By NAMES; empty where a peer has no answer for the method.

    accelerate and DeepSpeed know of weights with Adam and of ZeRO-3 on one GPU, not of adapters, length or checkpointing.
    """
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs

    from launcher.config import ArchitectureConfig
    from launcher.plan.model import count_parameters

    sizes = ArchitectureConfig(**dict(zip(KEYS, shape, strict=True)))
    total, table = count_parameters(sizes), sizes.vocab_size * sizes.hidden_size
    adam = 4 * total * 4 / 2**30  # accelerate's estimate-memory: four times the weights in fp32
    _, on_gpu, _ = estimate_zero3_model_states_mem_needs(total, table, 1, 1, False, False, 1.5)
    tracked = "" if method == "qlora" else f"{tracked_gib(shape, method, checkpointing, length):.2f}"
    return f"{adam:.1f}", f"{on_gpu / 2**30:.1f}", tracked


def tracked_gib(shape: Shape, method: str, checkpointing: bool, length: int) -> float:
    """The peak of steps on one device by torch.distributed._tools' MemTracker."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    with FakeTensorMode():
        model = make_model(shape, checkpointing)
        if method == "lora":
            from peft import LoraConfig, get_peft_model

            model.to(torch.bfloat16)  # a frozen base, as ours is loaded
            model = get_peft_model(
                model, LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False)
            )
        optimizer = torch.optim.AdamW(
            (one for one in model.parameters() if one.requires_grad), foreach=True
        )  # as on GPUs
        tokens = torch.zeros(1, length, dtype=torch.int64)
        tracker = MemTracker()
        tracker.track_external(model, optimizer, tokens)
        return take_steps(tracker, model, optimizer, tokens)


def sharded_gib(shape: Shape, checkpointing: bool, length: int) -> float:
    """The peak of steps of a full fine-tune on one of RANKS devices by FSDPMemTracker; its collectives are fake too."""
    import torch
    import torch.distributed as dist
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=RANKS, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (RANKS,))
        with FakeTensorMode(allow_non_fake_inputs=True):  # the mesh's own tensors
            model = make_model(shape, checkpointing)
            for block in model.model.layers:
                fully_shard(block, mesh=mesh)
            fully_shard(model, mesh=mesh)
            optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
            tokens = torch.zeros(1, length, dtype=torch.int64)
            tracker = FSDPMemTracker(model, optimizer)
            tracker.track_inputs((tokens,))
            return take_steps(tracker, model, optimizer, tokens)
    finally:
        dist.destroy_process_group()


def make_model(shape: Shape, checkpointing: bool) -> Any:
    """A Llama of that shape in fp32, whose head is its own; within FakeTensorMode it takes no memory."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.initialization import no_init_weights

    config = LlamaConfig(**dict(zip(KEYS, shape, strict=True)), use_cache=False, tie_word_embeddings=False)
    with no_init_weights():
        model = LlamaForCausalLM(config)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    return model


def take_steps(tracker: Any, model: Any, optimizer: Any, tokens: Any) -> float:
    """Steps under bf16 autocast; the tracker's peak over all devices in GiB."""
    import torch

    with tracker:
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=tokens, labels=tokens).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            tracker.reset_mod_stats()
    peaks: Callable[[str], dict[Any, dict[Any, int]]] = tracker.get_tracker_snapshot
    return sum(kinds["Total"] for kinds in peaks("peak").values()) / 2**30


if __name__ == "__main__":
    sys.exit(main())
