"""A mixture of experts: the loss that balances its routers, what metrics.jsonl says of its experts, and its export."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from launcher.errors import ConfigError
from launcher.train.data.packing import Collator
from launcher.train.experts import count_choices, find_routers
from tests.support.runs import launch
from tests.support.tiny_model import write_experts
from tests.training.resuming import planned

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 64, "initializer_range": 0.3,
}  # fmt: skip
MIXTURE: dict[str, Any] = {**SHAPE, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}


def rows() -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(0)
    lengths = (9, 5, 12)
    return [
        {
            "input_ids": torch.randint(3, 64, (n,), generator=draw).tolist(),
            "labels": [1] * n,
            "seq_lengths": [n],
        }
        for n in lengths
    ]


def numbered(rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    collate = Collator(0, **options)
    collate.numbers_rows = True
    return collate(rows)


@pytest.mark.parametrize(
    ("shape", "kind"), [(MixtralConfig, MixtralForCausalLM), (GptOssConfig, GptOssForCausalLM)]
)
def test_the_loss_is_the_sum_of_transformers_losses_of_single_rows(shape: Any, kind: Any):
    torch.manual_seed(0)
    model = kind(shape(**MIXTURE)).train()
    routers = find_routers(model, 3, 0.1)
    assert routers is not None
    batch = numbered(rows())
    with routers.reading():
        model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False)
    found = routers.balance(batch["row_numbers"])
    alone: list[float] = []
    for row in rows():
        ids = torch.tensor([row["input_ids"]])
        logits = model(input_ids=ids, output_router_logits=True, use_cache=False).router_logits
        alone.append(float(load_balancing_loss_func(logits, 4, 2)))
    assert found is not None and float(found) == pytest.approx(sum(alone), rel=1e-5)
    assert routers.figures()["router_aux_loss"] == pytest.approx(sum(alone) / 3, rel=1e-5)
    assert set(routers.figures()) == {"expert_load"}  # nothing since


def test_tokens_have_the_number_of_their_row_in_both_layouts_of_a_batch():
    assert numbered(rows())["row_numbers"].tolist() == [
        [0] * 9 + [-1] * 3,
        [1] * 5 + [-1] * 7,
        [2] * 12,
    ]
    assert numbered(rows(), varlen=True, multiple=4)["row_numbers"].tolist() == [
        [0] * 9 + [1] * 5 + [2] * 12 + [-1] * 2
    ]


def test_a_dense_model_has_no_routers_and_refuses_a_coefficient():
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    assert find_routers(model, 2, 0.0) is None
    with pytest.raises(ConfigError, match=r"router_aux_loss_coef=0.1 does not work with llama"):
        find_routers(model, 2, 0.1)


def counted(model: Any, batch: dict[str, Any], mask: torch.Tensor) -> float:
    """The load by the model's own record of its routers' logits."""
    with torch.no_grad():
        logits = model(**batch, output_router_logits=True).router_logits
    loads = []
    for block in logits:
        chosen = block[mask.flatten().bool()].topk(2, dim=-1).indices.flatten().bincount(minlength=4).double()
        loads.append(float(chosen.max() / chosen.mean()))
    return max(loads)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_choices_are_counted_in_training_passes_without_padding_and_once(checkpointing: bool):
    torch.manual_seed(0)
    model = MixtralForCausalLM(MixtralConfig(**MIXTURE)).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.randint(3, 64, (3, 12))
    mask = torch.tensor([[1] * 12, [1] * 7 + [0] * 5, [1] * 4 + [0] * 8])
    batch = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    expected = counted(model, batch, mask)
    routers = count_choices(model)
    assert routers is not None
    model(**batch).logits.sum().backward()
    with torch.no_grad():  # as of a reference model
        model(input_ids=ids[:1, :3])
    model.eval()
    model(input_ids=ids[:1, :3])  # as of an answer
    assert int(routers._chosen.sum()) == 2 * 2 * int(mask.sum())  # blocks, choices
    assert routers.figures() == {"expert_load": pytest.approx(expected, abs=1e-4)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experts(tmp_path_factory.mktemp("experts"), seed=0)


def test_a_run_with_an_adapted_router_logs_its_experts_and_its_export_is_what_it_trained(
    warm, cache, base, tmp_path
):
    run = planned(
        tmp_path, cache, f"model.name_or_path={base}", "model.init=pretrained", "model.architecture=null",
        "plugin=[lora,sharded_checkpoint]", "plugins.lora.router=true", "trainer.router_aux_loss_coef=0.5",
        "trainer.max_steps=10", "trainer.learning_rate=0.05", "trainer.max_grad_norm=1000",
    )  # fmt: skip
    assert warm.run(run.path)["codes"] == [0], run.logs()
    lines = [line for line in run.metrics() if line.get("loss") is not None]
    assert all(1 <= line["expert_load"] <= 2 for line in lines)  # of 4 experts, with 2 choices
    assert lines[-1]["router_aux_loss"] < lines[0]["router_aux_loss"]
    exported = run.events("exported")[-1]
    assert (exported["verified"], exported["difference"]) == ("logits", 0)


PAIRS = [{"prompt": "the cat", "chosen": " sat on the mat", "rejected": " so"}] * 8
TAGGED = [
    {"prompt": "the cat", "completion": " sat on the mat", "label": number % 2 == 0} for number in range(8)
]
TEXTS = [{"text": "the cat sat on the mat"}, {"text": "a dog"}] * 4


@pytest.mark.parametrize(
    ("method", "rows"),
    [("dpo", PAIRS), ("kto", TAGGED), ("grpo", PAIRS), ("distill", TEXTS)],
)
def test_every_method_logs_the_load_of_the_busiest_expert(warm, cache, base, tmp_path, method, rows):
    rows = [{"prompt": one["prompt"]} for one in rows] if method == "grpo" else rows
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = {
        "grpo": ("trainer.reward_functions=[{_target_: len_reward.score}]", "trainer.max_completion_length=4",
                 "trainer.num_generations=2"),
        "distill": (f"trainer.teacher={base}",),
    }.get(method, ())  # fmt: skip
    (tmp_path / "len_reward.py").write_text(
        "def score(completions, **kwargs):\n    return [float(len(one)) for one in completions]\n"
    )
    run = launch(
        tmp_path, cache, "dry_run=true", "data.eval_path=null", f"trainer={method}",
        f"model.name_or_path={base}", "model.init=pretrained",
        "model.architecture=null", f"data.path={tmp_path}/rows.jsonl", "data.check=off", "plugin=[lora,sharded_checkpoint]",
        "trainer.packing=false", "batch.global_batch_size=4", "batch.micro_batch_size=2", "trainer.max_steps=2",
        "model.max_length=64", *more,
    )  # fmt: skip
    assert warm.run(run.path)["codes"] == [0], run.logs()
    lines = [line for line in run.metrics() if line.get("loss") is not None]
    assert len(lines) == 2 and all(1 <= line["expert_load"] <= 2 for line in lines)
