"""One pass over the rows of several adapters gives each row what its own model gives, and each adapter its own gradients."""

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.train
ADAPTERS = ((8, "all-linear"), (4, ["q_proj"]), (2, ["down_proj"]))


@pytest.fixture(scope="module")
def lanes():
    """Three adapters on the same tensors, as the lanes of a group have them."""
    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from launcher.train.lanes.resident import with_same_tensors

    torch.manual_seed(0)
    shape = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64
    )  # fmt: skip
    base = LlamaForCausalLM(shape)
    found = []
    for number, (r, targets) in enumerate(ADAPTERS):
        config = LoraConfig(r=r, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
        model = get_peft_model(with_same_tensors(base), config)
        order, tokenizer = SimpleNamespace(number=number), SimpleNamespace(pad_token_id=0)
        inner = model.get_base_model()
        found.append(SimpleNamespace(order=order, inner=inner, model=model, tokenizer=tokenizer))
    assert not any("lora" in name for name, _ in base.named_parameters())
    return found


def test_the_lanes_hold_the_same_frozen_tensors(lanes):
    frozen = [{id(p) for p in lane.model.parameters() if not p.requires_grad} for lane in lanes]
    assert frozen[0] == frozen[1] == frozen[2] != set()


def test_each_row_gets_its_own_adapter_and_each_adapter_the_gradients_of_its_own_rows(lanes):
    import torch

    from launcher.train.lanes.mixed import Mixed

    mixed = Mixed(lanes[1])
    for lane in lanes:
        mixed.add(lane)
    ids, spans = torch.randint(0, 64, (4, 9)), ((0, 0, 2), (1, 2, 3), (2, 3, 4))
    mixed.rows.spans = spans
    together = mixed.model(input_ids=ids).logits
    together.float().pow(2).sum().backward()
    found = [take_gradients(lane.model) for lane in lanes]
    for lane, (_, first, last), gradients in zip(lanes, spans, found, strict=True):
        alone = lane.model(input_ids=ids[first:last]).logits
        assert (alone - together[first:last]).abs().max() < 1e-5
        alone.float().pow(2).sum().backward()
        for name, gradient in take_gradients(lane.model).items():
            assert torch.allclose(gradient, gradients[name], rtol=1e-4, atol=1e-4), name
    mixed.remove(lanes[0])
    assert (mixed.model(input_ids=ids).logits[2:] - together[2:]).abs().max() < 1e-5


def take_gradients(model):
    """The gradients of a model's adapter, which has none afterwards."""
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    assert len(found) == sum(one.requires_grad for one in model.parameters())
    model.zero_grad(set_to_none=True)
    return found
