"""`plan --inspect`: what is counted on the meta device, and why not."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from launcher.plan.model import count_lora, count_parameters, linear_shapes, shape_from
from launcher.plugins.lora import LoRA
from launcher.train.count import main

pytestmark = pytest.mark.train

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 4, "vocab_size": 64, "num_attention_heads": 2,
                         "num_key_value_heads": 1, "intermediate_size": 48, "pad_token_id": None}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "granite": {},
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 2},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen3_next": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "head_dim": 16},
    "lfm2": {},
    "gemma4_text": {"head_dim": 16, "global_head_dim": 32, "hidden_size_per_layer_input": 8, "num_hidden_layers": 6,
                    "vocab_size_per_layer_input": 64},
    "deepseek_v3": {"num_key_value_heads": 2, "n_routed_experts": 4, "moe_intermediate_size": 16, "n_group": 1,
                    "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 8, "kv_lora_rank": 8},
}  # fmt: skip


def counted(
    folder: Path, values: dict[str, Any], capsys: pytest.CaptureFixture[str], *, code: bool = False
) -> dict[str, Any]:
    folder.joinpath("config.json").write_text(json.dumps(values))
    code_ = main([json.dumps({"name": str(folder), "revision": "main", "code": code})])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code_ == (1 if "error" in answer else 0)
    return answer


@pytest.mark.parametrize("kind", MODELS)
def test_any_architecture_of_transformers_is_counted(tmp_path, capsys, kind: str):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = {**SMALL, **MODELS[kind], "model_type": kind}
    shape = shape_from(counted(tmp_path, values, capsys)["shape"])
    config = AutoConfig.for_model(**values)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert count_parameters(shape) == sum(one.numel() for one in model.parameters())
    assert linear_shapes(shape)
    assert sum(len(block.layers) for block in shape.blocks or ()) == shape.num_hidden_layers
    if not shape.num_experts and kind != "gpt2":  # peft takes GPT-2's layers by another rule
        adapted = LoRA(r=2).on_model(model)
        trained = sum(one.numel() for one in adapted.parameters() if one.requires_grad)
        assert count_lora(shape, 2, "all-linear") == trained


def test_windows_and_linear_attention_are_read(tmp_path, capsys):
    found = counted(tmp_path, {**SMALL, **MODELS["qwen3_next"], "model_type": "qwen3_next"}, capsys)["shape"]
    assert (found["full_attention_layers"], found["sliding_window"], found["num_experts_per_tok"]) == (
        1,
        None,
        10,
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"model_type": "brandnew"},
            "does not know its model_type brandnew, and it ships no code of its own",
        ),
        (
            {"model_type": "brandnew", "auto_map": {"AutoConfig": "configuration_x.C"}},
            "its code is not part of transformers (model_type brandnew) but shipped with it; model.trust_remote_code=true runs",
        ),
        ({"model_type": "llava", "vision_config": {}}, "is a vision-language checkpoint"),
        (
            {**SMALL, "model_type": "granite", "num_attention_heads": "two"},
            "cannot make it without its weights",
        ),
    ],
)
def test_what_cannot_be_counted_has_its_reason_in_one_line(
    tmp_path, capsys, values: dict[str, Any], said: str
):
    answer = counted(tmp_path, values, capsys)
    assert said in answer["error"]
    assert "\n" not in answer["error"]


def test_a_folder_without_config_json_is_reported_as_such(tmp_path, capsys):
    assert main([json.dumps({"name": str(tmp_path), "revision": "main", "code": False})]) == 1
    assert "no config.json can be read" in capsys.readouterr().out


def test_dataclasses_of_the_shape_survive_json(tmp_path, capsys):
    shape = shape_from(counted(tmp_path, {**SMALL, "model_type": "lfm2"}, capsys)["shape"])
    assert shape_from(json.loads(json.dumps(dataclasses.asdict(shape)))) == shape
