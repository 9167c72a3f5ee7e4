"""The planner's counts against transformers' models on the meta device and peft's adapters on them."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from launcher.config import ArchitectureConfig
from launcher.plan.model import count_lora, count_parameters, linear_shapes, read_architecture
from launcher.plugins.lora import LoRA
from launcher.resources import resource_dir

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
}
"""Parameters as the models' pages on the hub give them."""


def shape_of(file: Path) -> ArchitectureConfig:
    return ArchitectureConfig(**yaml.safe_load(file.read_text())["architecture"])


def on_meta(shape: ArchitectureConfig) -> torch.nn.Module:
    """transformers' model of this shape, without memory."""
    from transformers import AutoConfig, AutoModelForCausalLM

    values = {name: value for name, value in vars(shape).items() if value is not None}
    experts = values.pop("num_experts", None)
    if experts:
        values |= {"num_local_experts": experts, "num_experts": experts}
        values["moe_intermediate_size"] = shape.intermediate_size
    if shape.model_type == "qwen2":
        values.pop("attention_bias")  # always there, and no key of its config
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))


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
    shape = dataclasses.replace(shape_of(file), num_hidden_layers=2)  # peft takes its time for each block
    model = LoRA(target_modules=targets).on_model(on_meta(shape))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count_lora(shape, 16, targets) == trained


@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_a_config_json_gives_the_shape_that_its_model_has(file: Path):
    shape = shape_of(file)
    config = json.loads(on_meta(shape).config.to_json_string())
    read = read_architecture(config)
    assert read is not None
    assert count_parameters(read) == count_parameters(shape)
    assert linear_shapes(read) == linear_shapes(shape)
