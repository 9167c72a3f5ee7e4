"""Activations in bf16 under autocast, as on a GPU: the bare model on a CPU, by saved-tensor hooks, against the plan."""

import itertools
import tempfile
from types import SimpleNamespace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from launcher.config import ArchitectureConfig
from launcher.plan.memory import Adapter, Load
from launcher.plan.memory.activations import activation_bytes
from launcher.plugins.gradient_checkpointing import GradientCheckpointing
from launcher.plugins.lora import LoRA
from launcher.plugins.qlora import QLoRA
from launcher.strategies import Degrees, candidates
from launcher.train.tiled_mlp import tile_mlps
from tests.benchmarks.memory_rank import Counted, saved_tensors

SHAPES = {
    "tiny": ArchitectureConfig(
        hidden_size=128, intermediate_size=352, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=512,
    ),
    "135M": ArchitectureConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        vocab_size=49152, tie_word_embeddings=True,
    ),
}  # fmt: skip
LENGTH = 200
ADAPTERS: dict[str, LoRA | None] = {
    "full": None,
    "lora": LoRA(),
    "qlora": QLoRA(),
    "dora": LoRA(use_dora=True),
    "lora_embedding": LoRA(modules_to_save=["embed_tokens"]),
}


def measure(console: Console) -> list[float]:
    """The share by which the plan is off in each case; prints them."""
    transformers_logging.disable_progress_bar()
    table = Table("model", "method", "ckpt", "planned", "measured", "off")
    offs: list[float] = []
    for (name, shape), method, checkpointing in itertools.product(SHAPES.items(), ADAPTERS, (False, True)):
        planned = activation_bytes(load_of(shape, ADAPTERS[method], checkpointing))
        measured = saved_bytes(shape, ADAPTERS[method], checkpointing)
        offs.append(abs(planned - measured) / measured)
        table.add_row(
            name, method, "yes" if checkpointing else "no", f"{planned:,.0f}", f"{measured:,}",
            f"{(planned - measured) / measured:+.1%}",
        )  # fmt: skip
    console.print(table)
    return offs


def load_of(
    shape: ArchitectureConfig, plugin: LoRA | None, checkpointing: bool, tile: int | None = None
) -> Load:
    adapter: Adapter | None = plugin.adapter if plugin else None
    return Load(
        shape=shape, adapter=adapter, checkpointing=checkpointing, strategy=candidates()[0], degrees=Degrees(), sequences=1,
        length=LENGTH, bf16=True, mlp_tile_tokens=tile,
    )  # fmt: skip


def saved_bytes(
    shape: ArchitectureConfig, plugin: LoRA | None, checkpointing: bool, tile: int | None = None
) -> int:
    """Bytes that one forward pass keeps, with the largest block that is computed again; of tiles only their inputs."""
    model: Any = _model(shape, plugin)
    if plugin:
        model = plugin.on_model(model)
    if plugin and plugin.modules_to_save:
        trainer = SimpleNamespace(model=model, args=SimpleNamespace(bf16=True), is_deepspeed_enabled=False)
        plugin.on_trainer(trainer)
    if isinstance(plugin, QLoRA):  # as trl does
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.bfloat16) if parameter.requires_grad else parameter.data
    if checkpointing:
        model = GradientCheckpointing().on_model(model)
    if tile is not None:
        tile_mlps(model, tile)
    model.train()
    model.config.use_cache = False
    counted = Counted(SimpleNamespace(model=model))
    with saved_tensors(counted):
        with torch.autocast("cpu", torch.bfloat16):
            base = model.base_model.model.model if plugin else model.model
            hidden = base(input_ids=torch.zeros(1, LENGTH, dtype=torch.long)).last_hidden_state
            head_input = hidden.reshape(-1, shape.hidden_size) * torch.ones((), requires_grad=True)
        head_input.sum().backward()
    return counted.found["activations"]


def _model(shape: ArchitectureConfig, plugin: LoRA | None) -> Any:
    """A random model: in fp32, frozen in bf16, or loaded in 4 bits, as a run has it."""
    values = {
        name: value for name, value in vars(shape).items() if value is not None and "expert" not in name
    }
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**values))
    if plugin is None:
        return model
    model = model.to(torch.bfloat16)
    if not isinstance(plugin, QLoRA):
        return model
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return LlamaForCausalLM.from_pretrained(folder, **plugin.on_load({"dtype": torch.bfloat16}))
