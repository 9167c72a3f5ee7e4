"""Packing: no document is lost, none sees another, and the loss is that of the same documents unpacked."""

import json
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from launcher.data.mask import IGNORED
from launcher.errors import ConfigError
from launcher.train.data.packing import Collator, check_packable, pack
from launcher.train.loss import PlainLoss
from tests.support.runs import Finished

LENGTHS = (5, 40, 17, 64, 3, 29, 11, 2)
CAPACITY = 64


@given(lengths=st.lists(st.integers(1, 64), min_size=1, max_size=60), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_every_document_is_in_one_row_and_no_row_is_too_long(lengths: list[int], seed: int):
    rows = pack(lengths, 64, seed)
    assert sorted(document for row in rows for document in row) == list(range(len(lengths)))
    assert all(sum(lengths[document] for document in row) <= 64 for row in rows)
    assert len(rows) <= 11 / 9 * -(-sum(lengths) // 64) + 1 or max(lengths) > 32


def test_the_same_seed_packs_alike_and_another_one_otherwise():
    lengths = [random.Random(0).randint(1, 30) for _ in range(200)]
    assert pack(lengths, 64, 1) == pack(lengths, 64, 1)
    assert pack(lengths, 64, 1) != pack(lengths, 64, 2)


def test_chats_of_many_lengths_leave_next_to_no_padding():
    draw = random.Random(0)
    lengths = [min(2048, int(draw.lognormvariate(5, 1))) for _ in range(20_000)]
    rows = pack(lengths, 2048, 0)
    assert sum(lengths) / (len(rows) * 2048) > 0.99


def documents() -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(0)
    found: list[dict[str, Any]] = []
    for length in LENGTHS:
        ids = torch.randint(3, 320, (length,), generator=draw).tolist()
        labels = [IGNORED, *(token if token % 3 else IGNORED for token in ids[1:-1]), ids[-1]]
        found.append({"input_ids": ids, "labels": labels, "seq_lengths": [length]})
    return found


def packed_rows() -> list[dict[str, Any]]:
    whole = documents()
    return [
        {
            name: [value for document in row for value in whole[document][name]]
            for name in ("input_ids", "labels", "seq_lengths")
        }
        for row in pack(LENGTHS, CAPACITY, 0)
    ]


def tiny(attention: str, method: str) -> Any:
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=320, attn_implementation=attention,
        )
    )  # fmt: skip
    if method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False))
    return model.train()


class Trainer(PlainLoss):
    """As much of a trainer as the loss asks for."""

    class Args:
        torch_compile = False
        average_tokens_across_devices = False

    aux_loss_enabled = False

    def __init__(self, model: Any, whole: bool = False) -> None:
        self.model, self.args = model, self.Args()
        self.args.torch_compile = whole


def loss_and_gradient(
    model: Any, rows: list[dict[str, Any]], whole: bool = False
) -> tuple[float, torch.Tensor]:
    """Of one batch, or of batches of one row each that count as one."""
    model.zero_grad()
    collate, trainer = Collator(0), Trainer(model, whole)
    count = sum(label != IGNORED for row in rows for label in row["labels"])
    total = 0.0
    for at in range(0, len(rows), 2):
        loss = trainer.compute_loss(model, collate(rows[at : at + 2]), num_items_in_batch=count)
        loss.backward()
        total += float(loss)
    found = [one.grad.flatten() for one in model.parameters() if one.grad is not None]
    return total, torch.cat(found)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_batch_has_the_loss_and_gradient_of_its_documents(attention: str, method: str):
    model = tiny(attention, method)
    assert len(packed_rows()) < len(documents()) / 2
    loss, gradient = loss_and_gradient(model, packed_rows())
    alone, gradient_alone = loss_and_gradient(model, documents())
    assert loss == pytest.approx(alone, abs=1e-5)
    assert torch.allclose(gradient, gradient_alone, atol=1e-5)


def test_the_loss_is_that_of_a_whole_head_and_of_transformers(monkeypatch):
    model = tiny("sdpa", "full")
    loss, gradient = loss_and_gradient(model, packed_rows())
    whole, gradient_whole = loss_and_gradient(model, packed_rows(), whole=True)
    assert loss == pytest.approx(whole, abs=1e-6) and torch.allclose(gradient, gradient_whole, atol=1e-6)
    rows = documents()
    theirs = [model(**_tensors(row), use_cache=False, num_items_in_batch=1).loss for row in rows]
    count = sum(label != IGNORED for row in rows for label in row["labels"])
    assert loss == pytest.approx(float(sum(theirs)) / count, abs=1e-5)


def test_a_document_does_not_see_the_one_before_it():
    model = tiny("sdpa", "full").eval()
    rows = packed_rows()
    row = max(rows, key=lambda row: len(row["seq_lengths"]))
    first = row["seq_lengths"][0]
    other = {
        **row,
        "input_ids": [(token + 7) % 300 + 3 for token in row["input_ids"][:first]] + row["input_ids"][first:],
    }
    outputs = []
    for one in (row, other):
        batch = {name: value for name, value in Collator(0)([one]).items() if name != "labels"}
        with torch.no_grad():
            outputs.append(model(**batch, use_cache=False).logits)
    assert torch.equal(outputs[0][:, first:], outputs[1][:, first:])
    assert not torch.equal(outputs[0][:, :first], outputs[1][:, :first])


def test_kernels_that_take_lengths_get_all_documents_in_one_row_without_padding():
    rows = packed_rows()
    batch = Collator(0, varlen=True)(rows)
    lengths = [length for row in rows for length in row["seq_lengths"]]
    assert batch["input_ids"].shape == (1, sum(LENGTHS))
    assert batch["cu_seq_lens_q"].diff().tolist() == lengths
    assert batch["max_length_k"] == 64
    assert batch["labels"][0][batch["cu_seq_lens_q"][:-1].long()].eq(IGNORED).all()
    assert batch["position_ids"][0].eq(0).sum() == len(LENGTHS)


def test_models_that_carry_a_state_along_the_row_are_not_packed():
    model = tiny("sdpa", "full")
    check_packable(model)
    model.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    with pytest.raises(ConfigError, match=r"layers of linear_attention.*trainer.packing=false"):
        check_packable(model)


@pytest.mark.train
@pytest.mark.long
def test_two_ranks_packed_have_the_first_loss_and_gradient_of_one_rank_unpacked(trained, tmp_path_factory):
    """Every document is in the first step of both."""
    data = tmp_path_factory.mktemp("data") / "texts.jsonl"
    texts = ["a" * 200, "bc" * 27, "d" * 100, "ef" * 60, "g" * 33, "hij" * 20, "k" * 250, "lm" * 9]
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    common = (
        f"data.path={data}", "data.eval_path=null", "data.format=text", "data.check=off", "trainer.max_steps=1",
        "trainer.assistant_only_loss=false", "model.max_length=256",
    )  # fmt: skip
    alone: Finished = trained(*common, "trainer.packing=false", "batch.global_batch_size=8")
    packed: Finished = trained(
        *common, "batch.global_batch_size=4", "batch.micro_batch_size=1", "resources.gpus_per_node=2"
    )
    told = json.loads((packed.path / "data.json").read_text())["train"]
    assert (told["rows"], told["documents"]) == (4, 8)
    one, other = (next(line for line in run.metrics() if "loss" in line) for run in (alone, packed))
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert other["grad_norm"] == pytest.approx(one["grad_norm"], abs=1e-4)
    assert other["tokens"] == one["tokens"] == sum(len(text) + 1 for text in texts)
    assert other["trained_tokens"] == one["trained_tokens"] == sum(map(len, texts))


def _tensors(row: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")}
