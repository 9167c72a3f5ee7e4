"""Files of models, adapters and chat templates, which come from anybody."""

import copy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from launcher.data.rendering import problems
from launcher.data.template import ChatTemplate
from launcher.launching.chat_template import format_named
from launcher.launching.compose import compose
from launcher.launching.start_adapter import fit_to_adapter
from tests.security.surfaces.base import (
    Surface,
    as_json,
    file_of,
    verb,
    with_file,
)

ADAPTER: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "some/base", "revision": None, "r": 8,
    "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": ["q_proj"], "bias": "none", "use_rslora": False,
    "modules_to_save": None, "trainable_token_indices": {"embed_tokens": [3, 4]}, "rank_pattern": {}, "alpha_pattern": {},
}  # fmt: skip
TOKENIZER: dict[str, Any] = {
    "chat_template": "{% for message in messages %}<s>{{ message['content'] }}{% endfor %}", "bos_token": {"content": "<s>"},
    "eos_token": "</s>", "added_tokens_decoder": {"0": {"content": "<s>", "special": True}},
    "added_tokens": [{"id": 3, "content": "<t>", "special": False}],
}  # fmt: skip
MODEL: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "head_dim": 16,
    "max_position_embeddings": 512, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
}  # fmt: skip


def model_files(folder: Path) -> list[Surface]:
    """The files of a model or an adapter that was downloaded."""
    model, adapter = folder / "model", folder / "adapter"
    model.mkdir()
    adapter.mkdir()
    (adapter / "adapter_config.json").write_bytes(as_json(ADAPTER))
    (adapter / "adapter_model.safetensors").touch()
    (adapter / "tokenizer.json").write_bytes(as_json(TOKENIZER))
    (model / "chat_template.jinja").write_text("")
    settings = adapter / "adapter_config.json"
    typed = ["+experiment=tiny", "cluster=local", "plugin=[lora]", "model.max_length=64"]
    cfg = compose(typed)[0].cfg

    def fit() -> None:
        mine: DictConfig = copy.deepcopy(cfg)
        mine.model.adapter = str(adapter)
        fit_to_adapter(mine, typed)

    (model / "tokenizer_config.json").write_bytes(as_json(TOKENIZER))
    (model / "chat_template.jinja").unlink()
    return [
        Surface(name="adapter_config.json", good=as_json(ADAPTER), suffix=".json", cost=4,
                read=file_of(adapter / "adapter_config.json", fit)),
        Surface(name="tokenizer.json of an adapter", good=as_json(TOKENIZER), suffix=".json", cost=4,
                read=file_of(adapter / "tokenizer.json", lambda: with_file(settings, as_json(ADAPTER), fit))),
        Surface(name="tokenizer_config.json", good=as_json(TOKENIZER), suffix=".json",
                read=file_of(model / "tokenizer_config.json", lambda: format_named(str(model), {}))),
        Surface(name="config.json of a model", good=as_json(MODEL), suffix=".json", cost=50,
                read=file_of(model / "config.json", lambda: _plan_model(model))),
    ]  # fmt: skip


def _plan_model(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_bytes(as_json(TOKENIZER))
    verb("plan", "+experiment=tiny", "cluster=local", f"model.name_or_path={folder}", "model.init=pretrained",
         "model.architecture=null")  # fmt: skip


def templates(folder: Path) -> list[Surface]:
    """Chat templates, which are programs."""
    file = folder / "chat.jinja"
    good = (
        "{% for message in messages %}{% if loop.first and message['role'] != 'user' %}{{ raise_exception('a') }}{% endif %}"
        "<|{{ message.role }}|>{{ message['content'] | trim }}{% generation %}{{ eos_token }}{% endgeneration %}"
        "{% endfor %}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{{ strftime_now('%d') }}"
    )

    def render() -> None:
        found = format_named(str(file), {})
        tokenizer = ChatTemplate(
            name_or_path="a", chat_template=str(found.template), special=(("eos_token", "</s>"),)
        )
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        problems({"messages": turns, "tools": [{"name": "f"}]}, tokenizer)

    return [Surface(name="chat template", good=good.encode(), suffix="", read=file_of(file, render))]
