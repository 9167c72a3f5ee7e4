"""The planner's counts of LoRA's options against peft's own, for every shipped model, on the meta device."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from launcher.config import ArchitectureConfig
from launcher.errors import ConfigError, PlanError
from launcher.plan.adapter import count_adapter
from launcher.plan.model import linear_shapes
from launcher.plugins.base import make_plugins
from launcher.plugins.lora import LoRA
from tests.training.test_model_counts import KINDS, SHIPPED, cut, on_meta, shape_of

pytestmark = pytest.mark.train

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
OPTIONS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True, "target_modules": ATTENTION},
    "rslora": {"use_rslora": True, "r": 64},
    "whole_modules": {"modules_to_save": ["embed_tokens", "lm_head", "input_layernorm"]},
    "embedding": {"modules_to_save": ["embed_tokens"], "target_modules": ["q_proj"]},
    "head": {"modules_to_save": ["lm_head"]},
    "some_blocks": {"layers_to_transform": [1], "target_modules": ATTENTION, "use_dora": True},
    "some_ranks": {
        "rank_pattern": {"q_proj": 4, "layers.0.self_attn.o_proj": 2},
        "exclude_modules": ["v_proj"],
    },
    "gaussian": {"init_lora_weights": "gaussian", "r": 5},
}


def trained(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def few(shape: ArchitectureConfig) -> ArchitectureConfig:
    """The same model with fewer blocks and words: peft takes its time for each."""
    return dataclasses.replace(cut(shape, 4 if shape.blocks else 2), vocab_size=512)


def fitting(options: dict[str, Any], shape: ArchitectureConfig) -> dict[str, Any]:
    """The options with the layer that has q, k and v in one, in a model that has it."""
    if shape.blocks:  # block 0 has no self_attn, and o_proj has another name there
        options = {
            name: value for name, value in options.items() if name not in ("rank_pattern", "exclude_modules")
        }
        return options | ({"layers_to_transform": [3]} if "layers_to_transform" in options else {})
    if "qkv_proj" not in linear_shapes(shape):
        return options
    text = json.dumps(options)
    return json.loads(re.sub(r"\b[qkv]_proj", "qkv_proj", text))


@pytest.mark.parametrize(
    ("file", "options"),
    [
        pytest.param(
            file, options, id=f"{file.stem}-{name}",
            marks=[pytest.mark.long] if file.stem.startswith("qwen3_next") and name in ("rslora", "whole_modules") else [],
        )
        for file in KINDS
        for name, options in OPTIONS.items()
    ],
)  # fmt: skip
def test_what_is_trained_is_as_many_parameters_as_pefts(file: Path, options: dict[str, Any]):
    shape = few(shape_of(file))
    plugin = LoRA(**fitting(options, shape))
    assert count_adapter(shape, plugin.adapter) == trained(plugin.on_model(on_meta(shape)))


@pytest.mark.long
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_the_same_with_all_blocks(file: Path, options: dict[str, Any]):
    shape = shape_of(file)
    plugin = LoRA(**fitting(options, shape))
    assert count_adapter(shape, plugin.adapter) == trained(plugin.on_model(on_meta(shape)))


@pytest.mark.parametrize("bias", ["all", "lora_only"])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "o_proj"]])
@pytest.mark.parametrize("name", ["qwen2_5_7b", "tiny"])
def test_trained_biases_are_counted_as_peft_counts_them(name: str, targets: Any, bias: str):
    shape = few(shape_of(next(file for file in SHIPPED if file.stem == name)))
    shape.attention_bias = True
    plugin = LoRA(bias=bias, target_modules=targets)
    assert count_adapter(shape, plugin.adapter) == trained(plugin.on_model(on_meta(shape)))


def test_all_linear_in_some_blocks_is_the_same_layers_by_name():
    shape = shape_of(next(file for file in SHIPPED if file.stem == "llama3_1_8b"))
    plugin = LoRA(layers_to_transform=[1, 2, 31])  # peft itself takes layer numbers only beside layer names
    assert (
        count_adapter(shape, plugin.adapter)
        == trained(plugin.on_model(on_meta(shape)))
        == 3 * 41_943_040 // 32
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"bias": "all"}, "plugins.lora.bias=all would train nothing: llama has no biases"),
        ({"modules_to_save": ["lm_haed"]}, "plugins.lora.modules_to_save: unknown module 'lm_haed'; did you mean lm_head?"),
        ({"layers_to_transform": [32]}, "plugins.lora.layers_to_transform=32 is not a block; the 32 blocks are 0 to 31"),
        ({"target_modules": ["q_prj"]}, "plugins.lora.target_modules: unknown layer 'q_prj'; did you mean q_proj?"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_an_option_that_the_model_cannot_have_is_refused_by_its_key(option: dict[str, Any], said: str):
    shape = shape_of(next(file for file in SHIPPED if file.stem == "llama3_1_8b"))
    with pytest.raises(PlanError) as refused:
        count_adapter(shape, LoRA(**option).adapter)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"init_lora_weights": "corda"}, "plugins.lora.init_lora_weights=corda is not supported: it needs covariances"),
        ({"init_lora_weights": "eva"}, "plugins.lora.init_lora_weights=eva is not supported: it needs a pass"),
        ({"init_lora_weights": "loftq"}, "plugins.lora.init_lora_weights=loftq is not supported: it quantises"),
        ({"init_lora_weights": "pisa"}, "plugins.lora.init_lora_weights=pisa must be one of true, gaussian"),
        ({"init_lora_weights": "orthogonal", "r": 3}, "plugins.lora.init_lora_weights=orthogonal needs an even"),
        ({"init_lora_weights": "pissa", "use_dora": True}, "plugins.lora.init_lora_weights=pissa does not work with"),
        ({"bias": "some"}, "plugins.lora.bias='some' must be none, lora_only or all"),
        ({"modules_to_save": "lm_head"}, "plugins.lora.modules_to_save='lm_head' must be a list"),
        ({"layers_to_transform": ["one"]}, "plugins.lora.layers_to_transform=['one'] must be a list of block numbers"),
        ({"use_dora": "yes"}, "plugins.lora.use_dora='yes' must be a bool, such as False"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_value_that_no_adapter_can_have_is_refused_in_one_line(option: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as refused:
        make_plugins({"lora": {"_target_": "launcher.plugins.lora.LoRA", **option}})
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def mixture(kind: str) -> ArchitectureConfig:
    """One block of 4 experts."""
    return ArchitectureConfig(
        model_type=kind, hidden_size=16, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, vocab_size=32, num_experts=4, num_experts_per_tok=2,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_all_linear_adapts_every_expert_and_never_the_router(kind: str):
    shape = mixture(kind)
    plugin = LoRA(r=2, alpha=4.5)
    model = plugin.on_model(on_meta(shape))
    adapted = {
        name.partition(".lora_A")[0]
        for name, one in model.named_parameters()
        if one.requires_grad and "lora_A" in name
    }
    assert len(adapted) == 4 + 2 and sum(".experts" in name for name in adapted) == 2
    assert not any(".gate." in name or name.endswith(".gate") for name in adapted)
    assert count_adapter(shape, plugin.adapter) == trained(model)
    named = LoRA(r=2, target_modules=["q_proj"], target_parameters=["gate.weight", "experts.down_proj"])
    assert count_adapter(shape, named.adapter) == trained(named.on_model(on_meta(shape)))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj"]])
@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_the_router_is_adapted_if_it_is_asked_for(kind: str, targets: Any):
    plain = LoRA(r=2, target_modules=targets)
    plugin = LoRA(r=2, target_modules=targets, router=True)
    shape = mixture(kind)
    model = plugin.on_model(on_meta(shape))
    routers = [
        name for name, _ in model.named_parameters() if ".gate.lora_A" in name or ".router.lora_A" in name
    ]
    assert len(routers) == 1
    assert count_adapter(shape, plugin.adapter) == trained(model)
    assert count_adapter(shape, plugin.adapter) - count_adapter(shape, plain.adapter) == 2 * (16 + 4)


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_names_of_an_mlp_that_would_adapt_no_expert_are_refused_with_what_adapts_them(kind: str):
    shape = mixture(kind)
    with pytest.raises(PlanError) as refused:
        count_adapter(shape, LoRA(target_modules=["q_proj", "gate_proj", "w1"]).adapter)
    said = str(refused.value)
    assert (
        said.startswith("plugins.lora.target_modules: gate_proj, w1 would adapt no expert")
        and "\n" not in said
    )
    way_out = LoRA(target_modules=["q_proj"], target_parameters=["experts.gate_up_proj", "experts.down_proj"])
    assert (
        "target_modules=[q_proj] with plugins.lora.target_parameters=[experts.gate_up_proj,experts.down_proj]"
        in said
    )
    assert count_adapter(shape, way_out.adapter) == trained(way_out.on_model(on_meta(shape)))


def test_a_router_in_a_dense_model_is_refused():
    shape = shape_of(next(file for file in SHIPPED if file.stem == "llama3_1_8b"))
    with pytest.raises(PlanError, match=r"plugins.lora.router=true: llama has no experts"):
        count_adapter(shape, LoRA(router=True).adapter)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"exclude_modules": ["up_pro"]},
            "plugins.lora.exclude_modules: unknown layer 'up_pro'; did you mean up_proj?",
        ),
        ({"rank_pattern": {"w1": 4}}, "plugins.lora.rank_pattern: unknown layer 'w1'"),
        ({"target_parameters": ["experts.down_proj"]}, "llama has no experts, and only layers"),
        (
            {"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]},
            "exclude_modules leaves no layer to adapt",
        ),
    ],
)
def test_a_name_that_no_layer_has_is_refused_with_its_option(options: dict[str, Any], said: str):
    with pytest.raises(PlanError) as refused:
        count_adapter(shape_of(SHIPPED[-1]), LoRA(**options).adapter)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"load_in": "8-bit"}, "plugins.lora.load_in='8-bit' must be 8bit or null"),
        (
            {"load_in": "8bit", "init_lora_weights": "pissa"},
            "load_in=8bit cannot change the base model's weights",
        ),
        ({"alpha": 0}, "alpha=0 must be a number above 0"),
        ({"alpha": "32"}, "alpha=32 must be a number above 0"),
        (
            {"rank_pattern": {"q_proj": 1.5}},
            "rank_pattern={'q_proj': 1.5} must give layer names a whole number",
        ),
        ({"exclude_modules": "up_proj"}, "exclude_modules='up_proj' must be a list of layer names"),
    ],
)
def test_a_wrong_option_is_refused_when_the_plugin_is_made(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as refused:
        make_plugins({"lora": {"_target_": "launcher.plugins.lora.LoRA", **options}})
    assert said in str(refused.value)
