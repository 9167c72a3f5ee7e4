"""The planner's counts against transformers' models on the meta device and peft's adapters on them."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from launcher.config import ArchitectureConfig
from launcher.plan.model import count_lora, count_parameters, linear_shapes, read_architecture, shape_from
from launcher.plugins.lora import LoRA
from launcher.resources import resource_dir
from launcher.train.count import read_model

pytestmark = pytest.mark.train

SHIPPED = sorted((resource_dir("conf") / "model").glob("*.yaml"))


PUBLISHED = {
    "llama3_2_1b": 1_235_814_400,
    "llama3_2_3b": 3_212_749_824,
    "llama3_3_70b": 70_553_706_496,
    "qwen3_4b": 4_022_468_096,
    "qwen3_30b_a3b": 30_532_122_624,
    "gemma3_1b": 999_885_952,
    "mistral_small_24b": 23_572_403_200,
    "phi4_14b": 14_659_507_200,
    "phi4_mini": 3_836_021_760,
    "smollm3_3b": 3_075_098_624,
    "gpt_oss_20b": 20_914_757_184,
    "gpt_oss_120b": 116_829_156_672,
    "qwen3_0_6b": 596_049_920,
    "qwen3_14b": 14_768_307_200,
    "qwen3_32b": 32_762_123_264,
}
"""Parameters as the models' pages on the hub give them."""


def shape_of(file: Path) -> ArchitectureConfig:
    return shape_from(yaml.safe_load(file.read_text())["architecture"])


def on_meta(shape: ArchitectureConfig) -> torch.nn.Module:
    """transformers' model of this shape, without memory."""
    from transformers import AutoConfig, AutoModelForCausalLM

    values = {name: value for name, value in vars(shape).items() if value is not None}
    experts = values.pop("num_experts", None)
    if experts:
        values |= {"num_local_experts": experts, "num_experts": experts}
        values["moe_intermediate_size"] = shape.intermediate_size
    if shape.model_type in ("qwen2", "phi3"):
        values.pop("attention_bias")  # always there or never, and no key of its config
    values.pop("blocks", None)
    values.pop("full_attention_layers", None)  # which blocks these are follows from the model type
    values = {"sliding_window": None, "pad_token_id": None, **values}
    if shape.model_type == "qwen3_next":
        values["shared_expert_intermediate_size"] = shape.intermediate_size
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))


def cut(shape: ArchitectureConfig, blocks: int) -> ArchitectureConfig:
    """The same model with fewer blocks."""
    listed = shape.blocks
    if listed is not None:
        fewer = [
            dataclasses.replace(one, layers=[layer for layer in one.layers if layer < blocks])
            for one in listed
        ]
        listed = [new for one, new in zip(listed, fewer, strict=True) if new.layers or not one.layers]
    return dataclasses.replace(shape, num_hidden_layers=blocks, blocks=listed)


KINDS = list(
    {(one.model_type, one.tie_word_embeddings): file for file in SHIPPED if (one := shape_of(file))}.values()
)
"""A file for each kind of model: what peft adapts depends on the kind and not on the size."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_as_many_parameters_as_its_page_says(name: str):
    assert count_parameters(shape_of(resource_dir("conf") / "model" / f"{name}.yaml")) == PUBLISHED[name]


@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_every_shipped_shape_has_as_many_parameters_as_its_model(file: Path):
    shape = shape_of(file)
    model = on_meta(shape)
    assert count_parameters(shape) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
@pytest.mark.parametrize("file", KINDS, ids=[file.stem for file in KINDS])
def test_an_adapter_has_as_many_parameters_as_pefts(file: Path, targets):
    shape = cut(shape_of(file), 4)  # peft takes its time for each block
    if targets != "all-linear" and "qkv_proj" in linear_shapes(shape):
        targets = ["qkv_proj"]
    model = LoRA(target_modules=targets).on_model(on_meta(shape))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count_lora(shape, 16, targets) == trained


@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_a_config_json_gives_the_shape_that_its_model_has(file: Path):
    shape = shape_of(file)
    model = on_meta(shape)
    config = json.loads(model.config.to_json_string())
    read = read_architecture(config) or read_model(model, model.config)
    assert (read.sliding_window, read.full_attention_layers) == (
        shape.sliding_window,
        shape.full_attention_layers,
    )
    assert count_parameters(read) == count_parameters(shape)
    assert linear_shapes(read) == linear_shapes(shape)
