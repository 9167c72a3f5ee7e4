"""A chat template for a model that has none: read, checked and planned before a launch."""

import json
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import ConfigError
from launcher.launching.chat_template import read_format, row_template, shipped, suggest
from launcher.launching.compose import compose as compose_line

TEMPLATE = "{% for m in messages %}<|a|>{{ m['content'] }}<|z|>{% endfor %}"
LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 99,
}  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of a base model: a tokenizer without a chat template."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "base" / "tokenizer.json").write_text("{}")
    (tmp_path / "base" / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    return tmp_path / "base"


def typed(base: Path, *more: str) -> list[str]:
    return ["plan", "+experiment=llama8b_lora", "cluster=slurm", f"model.name_or_path={base}", *more]


def test_a_base_model_with_chats_is_refused_with_the_key_and_a_template_that_fits(base: Path, capfd):
    assert main(typed(base)) == 1
    said = capfd.readouterr().err
    assert "train.jsonl holds chats, and" in said and "has no chat template" in said
    assert "set model.chat_template=chatml" in said and "chatml, gemma, llama3, mistral, phi, zephyr" in said


def test_a_template_that_begins_with_a_token_fits_a_model_without_one(base: Path, tmp_path: Path, capfd):
    """Llama's template writes bos_token + ..., and the tokenizers of Qwen and others have no such token."""
    text = (
        "{% for m in messages %}{{ (bos_token if loop.first else '') + m['content'] + '</s>' }}{% endfor %}"
    )
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "chat_template.jinja").write_text(text)
    (tmp_path / "own.jinja").write_text(text)
    for name in ("llama", "own.jinja"):
        assert main(typed(base, f"model.chat_template={tmp_path}/{name}")) == 0
        assert "bos_token" not in capfd.readouterr().err
    (base / "tokenizer_config.json").write_text('{"eos_token": "</s>", "bos_token": "<s>"}')
    config = compose_line([*typed(base)[1:], f"model.chat_template={tmp_path}/llama"])[0].config
    template = row_template(config)
    assert template is not None
    assert template.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "<s>Hi</s>"


@pytest.mark.parametrize("has", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"])
def test_a_template_is_found_wherever_transformers_keeps_it(base: Path, has: str, capfd):
    content = TEMPLATE if has.endswith("jinja") else json.dumps({"chat_template": TEMPLATE})
    (base / has).write_text(content)
    assert main(typed(base)) == 0


def test_a_base_model_learns_from_text_without_a_template(base: Path, tmp_path: Path, capfd):
    (tmp_path / "text.jsonl").write_text('{"text": "It rains."}\n')
    assert (
        main(typed(base, "trainer=pretrain", f"data.path={tmp_path}/text.jsonl", "data.eval_path=null")) == 0
    )


def test_the_tokens_of_a_template_are_planned_and_trained(base: Path, capfd):
    assert (
        main(typed(base, "model.chat_template=chatml", "model.added_tokens=[<think>,</think>]", "--json"))
        == 0
    )
    plan = json.loads(capfd.readouterr().out)
    assert (
        plan["facts"]["chat"]["control"] == ["<|im_start|>", "<|im_end|>"]
        and plan["facts"]["chat"]["eos"] == "<|im_end|>"
    )
    lora = 2 * 16 * (4 * (64 + 64) + 3 * (64 + 128))
    assert (
        plan["model"]["trainable_parameters"] == lora + 4 * 64 * 2
    )  # four rows of the embedding and of the head


def test_a_jinja_file_or_another_models_folder_is_a_template(compose, base: Path, tmp_path: Path):
    (tmp_path / "own.jinja").write_text(TEMPLATE)
    found = read_format(
        compose("+experiment=tiny", f"model.chat_template={tmp_path}/own.jinja", "model.eos_token='<|z|>'")
    )
    assert found and (found.template, found.control, found.eos) == (TEMPLATE, (), "<|z|>")
    tokens = {
        str(at): {"content": one, "special": True} for at, one in enumerate(("<|a|>", "<|z|>", "<|other|>"))
    }
    values = {"chat_template": TEMPLATE, "eos_token": {"content": "<|z|>"}, "added_tokens_decoder": tokens}
    (base / "tokenizer_config.json").write_text(json.dumps(values))
    found = read_format(compose("+experiment=tiny", f"model.chat_template={base}"))
    assert found and (found.template, found.control, found.eos) == (TEMPLATE, ("<|a|>", "<|z|>"), "<|z|>")


@pytest.mark.parametrize(
    ("override", "content", "said"),
    [
        (
            "model.chat_template=chatlm",
            None,
            "unknown template 'chatlm'; did you mean chatml? Known: chatml, gemma",
        ),
        ("model.chat_template=own.jinja", None, "unknown template 'own.jinja'"),
        ("model.chat_template=own.jinja", "{% for m in messages %}", "own.jinja, line 1: "),
        ("model.chat_template=own.jinja", "", "own.jinja is empty"),
        ("model.chat_template=own.jinja", "{{ text }}", "never writes `messages`"),
        (
            "model.chat_template=me/other",
            None,
            "is neither a file nor a folder here, and the hub's cache has no",
        ),
        ("model.added_tokens=['<a>','<a>']", None, "model.added_tokens holds '<a>' twice"),
        ("model.eos_token=' '", None, "model.eos_token holds ' '"),
    ],
)
def test_an_invalid_template_or_token_is_refused_in_one_line(
    compose, tmp_path, monkeypatch, override: str, content: str | None, said: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    if content is not None:
        Path("own.jinja").write_text(content)
    with pytest.raises(ConfigError) as refused:
        read_format(compose("+experiment=tiny", override))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_tokens_are_typed_without_quotes_of_hydra():
    (one,) = compose_line(["+experiment=tiny", "model.added_tokens=[<a>,</a>]", "model.eos_token=<|im_end|>"])
    assert (one.config.model.added_tokens, one.config.model.eos_token) == (["<a>", "</a>"], "<|im_end|>")


@pytest.mark.parametrize(
    ("config_json", "name"),
    [
        ({"model_type": "llama", "vocab_size": 128256}, "llama3"),
        ({"model_type": "llama", "vocab_size": 32000}, "chatml"),
        ({"model_type": "gemma3_text"}, "gemma"),
        ({"model_type": "phi3"}, "phi"),
        ({}, "chatml"),
    ],
)
def test_the_suggested_template_is_that_of_the_family(config_json, name: str):
    assert suggest(config_json) == name and name in shipped()
