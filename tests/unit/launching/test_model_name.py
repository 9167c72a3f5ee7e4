"""Names that no model on a hub can have, and mistyped names of conf/model, are refused with what was meant."""

import pytest

from launcher.errors import ConfigError
from launcher.launching.model_name import check_hub_name

KEY = "model.name_or_path"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("https://huggingface.co/Qwen/Qwen3-8B", "; write model.name_or_path=Qwen/Qwen3-8B"),
        ("https://huggingface.co/Qwen/Qwen3-8B/tree/main", "; write model.name_or_path=Qwen/Qwen3-8B"),
        ("https://huggingface.co/Qwen/Qwen3-8B/blob/v2/config.json", "=Qwen/Qwen3-8B model.revision=v2"),
        ("hf:Qwen/Qwen3-8B", "; write model.name_or_path=Qwen/Qwen3-8B"),
        ("hf://Qwen/Qwen3-8B", "; write model.name_or_path=Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B ", "; write model.name_or_path=Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B@v2", "; write model.name_or_path=Qwen/Qwen3-8B model.revision=v2"),
        ("models/llama/8b", "check the path of the folder"),
        ("Qwen 3", "write the id as OWNER/NAME"),
        ("model.gguf", "is a file that is not here"),
        ("", "''.*names no model"),
        ("  ", "names no model"),
        ("smollm2_135", "did you mean model=smollm2_135m"),
        ("SmolLM2-135M", "did you mean model=smollm2_135m"),
        ("llama3.1_8b", "did you mean model=llama3_1_8b"),
    ],
)
def test_a_name_that_cannot_be_a_models_is_refused_with_what_was_meant(name: str, meant: str):
    with pytest.raises(ConfigError, match=meant) as refusal:
        check_hub_name(KEY, name)
    assert str(refusal.value).startswith(f"{KEY}=") and "\n" not in str(refusal.value)
    if "; write model.name_or_path=" in str(refusal.value):
        check_hub_name(KEY, str(refusal.value).rpartition(f"{KEY}=")[2].partition(" ")[0])


@pytest.mark.parametrize(
    "name",
    [
        "gpt2",
        "distilgpt2",
        "bert-base-uncased",
        "t5-small",
        "Qwen/Qwen3-8B",
        "me/tiny",
        "me/smollm2_135",
        "BASE",
    ],
)
def test_a_name_that_a_hub_can_have_passes(name: str):
    check_hub_name(KEY, name)


def test_the_revision_of_a_teacher_is_named_by_its_own_key():
    with pytest.raises(ConfigError, match=r"; write trainer\.teacher=me/big trainer\.teacher_revision=v2"):
        check_hub_name("trainer.teacher", "me/big@v2", revision="trainer.teacher_revision")
