"""MLPs that compute in tiles: the same loss and gradients as without tiles, on one rank and on two."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from launcher.errors import ConfigError
from launcher.plugins.lora import LoRA
from launcher.train.tiled_mlp import tile_mlps
from tests.training.upstream.ranks import on_ranks

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 64, "initializer_range": 0.3, "pad_token_id": 0,
}  # fmt: skip
WIDE: dict[str, Any] = {**SHAPE, "intermediate_size": 512}


def gradients(
    tokens: int | None, *, lora: bool, checkpointing: bool, phi: bool = False
) -> tuple[float, torch.Tensor]:
    torch.manual_seed(0)
    model: Any = Phi3ForCausalLM(Phi3Config(**SHAPE)) if phi else LlamaForCausalLM(LlamaConfig(**SHAPE))
    model = LoRA(r=2, init_lora_weights="gaussian").on_model(model) if lora else model
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if tokens is not None:
        tile_mlps(model, tokens)
    model.train()
    rows = torch.randint(3, 64, (2, 21))
    loss = model(input_ids=rows, labels=rows, use_cache=False).loss
    loss.backward()
    return float(loss), torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_tiles_change_neither_the_loss_nor_the_gradients(lora: bool, checkpointing: bool):
    loss, alone = gradients(None, lora=lora, checkpointing=checkpointing)
    tiled_loss, tiled = gradients(
        8, lora=lora, checkpointing=checkpointing
    )  # 42 tokens: the last tile is smaller
    assert tiled_loss == pytest.approx(loss, rel=1e-6)
    assert float((tiled - alone).norm() / alone.norm()) < 1e-6


def test_an_mlp_whose_gate_and_up_projection_are_one_layer_has_tiles_too():
    (loss, alone), (tiled_loss, tiled) = (
        gradients(size, lora=False, checkpointing=False, phi=True) for size in (None, 8)
    )
    assert tiled_loss == pytest.approx(loss, rel=1e-6)
    assert float((tiled - alone).norm() / alone.norm()) < 1e-6


def test_an_mlp_never_sees_more_tokens_than_a_tile_has():
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    seen: list[int] = []
    for block in model.model.layers:
        block.mlp.down_proj.register_forward_hook(lambda one, arguments, output: seen.append(len(output)))
    tile_mlps(model, 8)
    model(input_ids=torch.randint(3, 64, (2, 21)))
    assert seen == [8, 8, 8, 8, 8, 2] * 2


def test_only_the_input_of_the_mlp_is_kept():
    def kept(tokens: int | None) -> int:
        model = LlamaForCausalLM(LlamaConfig(**WIDE))
        if tokens is not None:
            tile_mlps(model, tokens)
        found: dict[int, int] = {}
        weights = {one.untyped_storage().data_ptr() for one in model.parameters()}

        def note(value: torch.Tensor) -> torch.Tensor:
            if value.untyped_storage().data_ptr() not in weights:
                found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            loss = model(input_ids=torch.randint(3, 64, (2, 21)), use_cache=False).logits.sum()
        assert loss.requires_grad
        return sum(found.values())

    wide = 42 * 512 * 4
    assert kept(None) - kept(8) >= 2 * 3 * wide  # gate, up and their product in each of two blocks


def test_a_model_without_mlps_of_that_name_is_refused():
    with pytest.raises(ConfigError, match="mlp_tile_tokens=8 does not work with Linear"):
        model: Any = torch.nn.Linear(2, 2)
        model.config = None
        tile_mlps(model, 8)


CODE = """
import torch, torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import LlamaConfig, LlamaForCausalLM
from launcher.train.tiled_mlp import tile_mlps
dist.init_process_group("gloo")
def gradients(tiles, wrap, rows):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    if tiles:
        tile_mlps(model, 8)
    if wrap == "fsdp2":
        for block in model.model.layers:
            fully_shard(block)
        fully_shard(model)
    run = DistributedDataParallel(model) if wrap == "ddp" else model
    run(input_ids=rows, labels=rows, use_cache=False).loss.backward()
    found = [one.grad for one in model.parameters()]
    return torch.cat([(one.full_tensor() if hasattr(one, "full_tensor") else one).flatten() for one in found])
torch.manual_seed(1)
rows = torch.randint(3, 64, (4, 21))
alone = gradients(False, "", rows)
own = rows[2 * dist.get_rank():][:2]
print(max(float((gradients(True, wrap, own) - alone).norm() / alone.norm()) for wrap in ("ddp", "fsdp2")))
"""


def test_two_ranks_with_tiles_have_the_gradients_of_one_without():
    assert max(float(one) for one in on_ranks(CODE.replace("SHAPE", repr(SHAPE)))) < 1e-6
