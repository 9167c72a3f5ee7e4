"""A run that starts from an adapter: its base and its settings become those of the run, or it is merged first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import ConfigError
from launcher.launching.compose import compose as composed_of
from launcher.launching.composed import Composed
from launcher.plugins.lora_options import options_of

MADE: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "me/base", "revision": "v2", "r": 8,
    "lora_alpha": 12.5, "lora_dropout": 0.1, "bias": "none", "use_dora": False, "use_rslora": True, "rank_pattern": {},
    "alpha_pattern": {}, "modules_to_save": None, "layers_to_transform": None, "exclude_modules": None,
    "target_modules": ["model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.v_proj", "q_proj"],
}  # fmt: skip


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Writes an adapter with these changes to its settings and returns its folder."""

    def adapter(**changes: Any) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({**MADE, **changes}))
        (folder / "adapter_model.safetensors").touch()
        return folder

    return adapter


def composed(*typed: str) -> Composed:
    (one,) = composed_of(["+experiment=llama8b_lora", *typed])
    return one


@pytest.mark.parametrize("key", ["model.adapter", "model.name_or_path"])
def test_an_adapter_brings_its_base_and_its_settings_however_it_is_given(adapter, key: str):
    one = composed(f"{key}={adapter()}", "plugins.lora.dropout=0.05")
    model, lora = one.config.model, one.config.plugins["lora"]
    assert (model.name_or_path, model.revision, model.architecture) == ("me/base", "v2", None)
    assert Path(model.adapter or "").name == "adapter" and "is trained on; its base is me/base" in one.note
    assert (lora["r"], lora["alpha"], lora["target_modules"]) == (8, 12.5, ["q_proj", "v_proj"])
    assert (lora["use_rslora"], lora["dropout"]) == (True, 0.05)


def test_a_base_that_replaces_the_chosen_model_or_is_replaced_is_named(adapter):
    folder = adapter()
    assert (
        "its base is me/base, which replaces meta-llama/Llama-3.1-8B"
        in composed(f"model.adapter={folder}").note
    )
    typed = composed(f"model.adapter={folder}", "model.name_or_path=you/copy")
    assert typed.config.model.name_or_path == "you/copy"
    assert (
        "it was trained on me/base, and model.name_or_path=you/copy is taken for a copy of it" in typed.note
    )
    same = composed(f"model.adapter={folder}", "model.name_or_path=me/base").note
    assert "taken for a copy" not in same and "which replaces" not in same


def test_an_adapter_that_is_merged_first_changes_nothing_but_the_base(adapter):
    one = composed(f"model.adapter={adapter()}", "model.adapter_mode=merge")
    assert (one.config.model.name_or_path, one.config.plugins["lora"]["r"]) == ("me/base", 16)
    assert "is merged into it first" in one.note


def test_the_tokens_of_an_adapter_come_with_its_tokenizer(adapter):
    folder = adapter(trainable_token_indices={"embed_tokens": [5, 6]})
    tokens = [{"id": 5, "content": "<|a|>", "special": True}, {"id": 6, "content": "<b>", "special": False}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    model = composed(f"model.adapter={folder}").config.model
    assert (model.chat_template, model.added_tokens) == (str(folder), ["<b>"])


@pytest.mark.parametrize(
    ("changes", "typed", "said"),
    [
        ({}, ["plugins.lora.r=64"], "plugins.lora.r=64 differs from 8 of model.adapter="),
        (
            {},
            ["plugin=[sharded_checkpoint]"],
            "add lora, or merge the adapter first: model.adapter_mode=merge",
        ),
        ({"peft_type": "IA3"}, [], "is an adapter of type IA3"),
        ({"task_type": "SEQ_CLS"}, [], "was trained for SEQ_CLS"),
        ({"base_model_name_or_path": None}, [], "does not name its base model; set model.name_or_path=BASE"),
        ({"trainable_token_indices": [1]}, [], "trains tokens of its own and comes without a tokenizer"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_refused_in_one_line(
    adapter, changes: dict[str, Any], typed: list[str], said: str
):
    with pytest.raises(ConfigError) as refused:
        composed(f"model.adapter={adapter(**changes)}", *typed)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["/no/such", "./nope", "nope", "me/nope"])
def test_an_adapter_that_is_not_there_is_refused(name: str, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=f"model.adapter={name} is not a folder here"):
        composed(f"model.adapter={name}")


def test_an_adapter_on_experts_is_read_as_all_linear():
    made = {
        **MADE, "target_modules": ["q_proj"], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"],
        "rank_pattern": {r".*\.gate_up_proj": 16},
    }  # fmt: skip
    found = options_of(made)
    assert (found["target_modules"], found["target_parameters"], found["rank_pattern"]) == (
        "all-linear",
        None,
        None,
    )
