"""The planner's counts of LoRA's options against peft's own, for every shipped model, on the meta device."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from launcher.config import ArchitectureConfig
from launcher.errors import ConfigError, PlanError
from launcher.plan.adapter import count_adapter
from launcher.plugins.base import make_plugins
from launcher.plugins.lora import LoRA
from tests.training.test_model_counts import SHIPPED, on_meta, shape_of

pytestmark = pytest.mark.train

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
OPTIONS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True, "target_modules": ATTENTION},
    "rslora": {"use_rslora": True, "r": 64},
    "whole_modules": {"modules_to_save": ["embed_tokens", "lm_head", "input_layernorm"]},
    "embedding": {"modules_to_save": ["embed_tokens"], "target_modules": ["q_proj"]},
    "head": {"modules_to_save": ["lm_head"]},
    "some_blocks": {"layers_to_transform": [1], "target_modules": ATTENTION, "use_dora": True},
    "gaussian": {"init_lora_weights": "gaussian", "r": 5},
}


def trained(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def cut(shape: ArchitectureConfig, blocks: int) -> ArchitectureConfig:
    """The same model with fewer blocks and words: peft takes its time for each."""
    return dataclasses.replace(shape, num_hidden_layers=blocks, vocab_size=512)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_what_is_trained_is_as_many_parameters_as_pefts(file: Path, options: dict[str, Any]):
    plugin, shape = LoRA(**options), cut(shape_of(file), 2)
    assert count_adapter(shape, plugin.adapter) == trained(plugin.on_model(on_meta(shape)))


@pytest.mark.long
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_the_same_with_all_blocks(file: Path, options: dict[str, Any]):
    plugin, shape = LoRA(**options), shape_of(file)
    assert count_adapter(shape, plugin.adapter) == trained(plugin.on_model(on_meta(shape)))


@pytest.mark.parametrize("bias", ["all", "lora_only"])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "o_proj"]])
@pytest.mark.parametrize("name", ["qwen2_5_7b", "tiny"])
def test_trained_biases_are_counted_as_peft_counts_them(name: str, targets: Any, bias: str):
    shape = cut(shape_of(next(file for file in SHIPPED if file.stem == name)), 2)
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
