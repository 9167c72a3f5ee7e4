"""Activations by the plan against what autograd saves, in fp32 on a CPU."""

import pytest
import torch

from launcher.plan.memory import Adapter, Load, activation_bytes
from launcher.plan.strategy import Strategy
from tests.training.test_model_counts import SHIPPED, on_meta, shape_of

pytestmark = pytest.mark.train

DDP = Strategy(name="ddp", engine="ddp", zero_stage=0, offload_optimizer=False, offload_param=False)
LORA = Adapter(r=16, target_modules="all-linear", four_bit=False, double_quant=False)
TINY = next(file for file in SHIPPED if file.stem == "tiny")
SMOLLM2 = next(file for file in SHIPPED if file.stem == "smollm2_135m")


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    ("file", "length"), [(TINY, 128), (TINY, 512), (SMOLLM2, 256)], ids=["tiny128", "tiny512", "135m"]
)
def test_what_the_blocks_save_is_within_5_percent_of_the_plan(file, length: int, adapter: Adapter | None):
    from peft import LoraConfig, get_peft_model

    shape = shape_of(file)
    model = on_meta(shape).to_empty(device="cpu")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    model.config.use_cache = False
    if adapter:
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        base = model.base_model.model.model if adapter else model.model
        hidden = base(input_ids=torch.zeros(2, length, dtype=torch.long)).last_hidden_state
    load = Load(
        shape=shape,
        adapter=adapter,
        checkpointing=False,
        strategy=DDP,
        world_size=1,
        tokens=2 * length,
        bf16=False,
    )
    assert activation_bytes(load) == pytest.approx(sum(saved.values()), rel=0.05), hidden.shape
