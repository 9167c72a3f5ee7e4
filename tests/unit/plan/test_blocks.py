"""Estimates from the list of a model's blocks, against those from the shape alone, and what is kept by `plan --inspect`."""

import dataclasses
import json

import pytest

from launcher.config import ArchitectureConfig, BlockConfig
from launcher.errors import ConfigError
from launcher.launching.inspect_model import inspect_model, inspected
from launcher.launching.summary import not_estimated
from launcher.plan.blocks import blocks_of, seen_tokens
from launcher.plan.fit import make_load
from launcher.plan.memory.activations import activation_bytes
from launcher.plan.memory.weights import weight_bytes
from launcher.plan.model import count_linear, count_parameters, read_windows

EIGHT_B = ("+experiment=llama8b_lora", "trainer.packing=false")


def listed(shape: ArchitectureConfig) -> ArchitectureConfig:
    """The same model with its blocks listed."""
    blocks = [
        BlockConfig(
            layers=list(one.layers),
            linears={path: list(size) for path, size in one.linears.items()},
            tensors={path: list(size) for path, size in one.others.items()},
        )
        for one in blocks_of(shape)
    ]
    return dataclasses.replace(shape, blocks=blocks)


@pytest.mark.parametrize(
    "typed",
    [
        (),
        ("plugin=[]",),
        ("plugin=[lora]",),
        ("plugin=[qlora,gradient_checkpointing]",),
        ("model=qwen3_8b",),
        ("model=gemma3_1b",),
    ],
)
def test_listed_blocks_are_estimated_as_a_llamas_are(plan, compose, typed: tuple[str, ...]):
    made = plan(*EIGHT_B, *typed)
    load = make_load(compose(*EIGHT_B, *typed), made)
    assert load is not None
    other = dataclasses.replace(load, shape=listed(load.shape))
    assert count_parameters(other.shape) == count_parameters(load.shape)
    assert count_linear(other.shape) == count_linear(load.shape)
    assert weight_bytes(other) == weight_bytes(load)
    assert activation_bytes(other) == pytest.approx(activation_bytes(load), rel=0.05)


def test_a_window_bounds_what_a_token_sees():
    shape = ArchitectureConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=4, num_attention_heads=1, num_key_value_heads=1, vocab_size=8
    )  # fmt: skip
    assert seen_tokens(shape, 100) == 200
    half = dataclasses.replace(shape, sliding_window=10, full_attention_layers=2)
    assert seen_tokens(half, 100) == 2 * 50 + 2 * 10 * 0.95
    linear = dataclasses.replace(shape, full_attention_layers=1)
    assert seen_tokens(linear, 100) == 50


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"model_type": "llama"}, (None, None)),
        ({"model_type": "mistral", "sliding_window": 4096}, (4096, 0)),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, (None, None)),
        ({"model_type": "gemma2", "sliding_window": 4096}, (4096, 6)),
        ({"model_type": "gemma3_text", "sliding_window": 512}, (512, 2)),
        ({"model_type": "gpt_oss", "sliding_window": 128}, (128, 6)),
        ({"model_type": "x", "layer_types": ["linear_attention"] * 9 + ["full_attention"] * 3}, (None, 3)),
    ],
)
def test_windows_are_read_from_config_json(values, found):
    assert read_windows({"num_hidden_layers": 12, **values}) == found


def test_an_unknown_architecture_is_counted_once_and_known_to_later_plans(
    compose, plan, tmp_path, monkeypatch
):
    folder = tmp_path / "model"
    folder.mkdir()
    config_json = {"model_type": "brandnew", "num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config_json))
    typed = (*EIGHT_B, f"model.name_or_path={folder}", f"cache_dir={tmp_path}", "model.architecture=null")
    unknown = plan(*EIGHT_B)
    unknown = dataclasses.replace(unknown, facts=dataclasses.replace(unknown.facts, architecture=None))
    assert "`python -m launcher plan --inspect`" in str(not_estimated(unknown))
    with pytest.raises(
        ConfigError, match=r"cannot be inspected: transformers .* does not know its model_type brandnew"
    ):
        inspect_model(compose(*typed))
    assert inspected(config_json, str(tmp_path)) is None
    shape = listed(plan(*EIGHT_B).facts.architecture)
    (kept,) = [tmp_path / "architectures" / name for name in [_name(config_json)]]
    kept.parent.mkdir()
    kept.write_text(json.dumps(dataclasses.asdict(shape)))
    assert inspected(config_json, str(tmp_path)) == shape
    assert "8.03 billion parameters in 32 blocks, counted before" in inspect_model(compose(*typed))
    kept.write_text("{")
    assert inspected(config_json, str(tmp_path)) is None


def _name(config_json: dict[str, object]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(config_json, sort_keys=True).encode()).hexdigest()[:32] + ".json"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((), "--inspect counts nothing: model.architecture has the shape"),
        (("+experiment=quickstart",), "--inspect counts nothing: model.architecture has the shape"),
    ],
)
def test_a_known_shape_is_not_counted(compose, typed: tuple[str, ...], said: str):
    assert said in inspect_model(compose(*(typed or EIGHT_B)))
