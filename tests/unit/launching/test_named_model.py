"""Revision and shape go with the name of the model that they belong to, and a model that cannot be trained is named."""

import json
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.launching.compose import compose as composed_of
from launcher.launching.model_types import known_types
from tests.support.tiny_model import EMPTY_WEIGHTS

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 99,
}


def model_of(*typed: str, experiment: str = "llama8b_lora"):
    (one,) = composed_of([f"+experiment={experiment}", *typed])
    return one.config.model, one.note


@pytest.fixture
def folder(tmp_path: Path):
    """Writes a model's folder with this config.json and returns its path."""

    def folder(**values: object) -> Path:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text(json.dumps(values))
        return tmp_path / "model"

    return folder


def test_another_name_drops_the_revision_and_the_shape_of_the_shipped_model_and_says_so_in_one_line():
    model, note = model_of("model.name_or_path=me/other")
    assert (model.revision, model.architecture, model.max_length) == (None, None, 4096)
    assert note == (
        "model.name_or_path=me/other is not the model of model=llama3_1_8b: its model.revision and model.architecture are "
        "dropped"
    )


@pytest.mark.parametrize(
    "typed",
    [
        (),
        ("model.name_or_path=meta-llama/Llama-3.1-8B-Instruct",),
        ("model=qwen3_8b",),
        ("model.max_length=99",),
    ],
)
def test_nothing_is_dropped_for_the_model_of_the_file(typed: tuple[str, ...]):
    model, note = model_of(*typed)
    assert (note, bool(model.revision), bool(model.architecture)) == ("", True, True)


def test_what_was_typed_stays():
    model, note = model_of(
        "model.name_or_path=me/other", "model.revision=0e9e39f249a16976918f6564b8830bc894c89659"
    )
    assert model.revision == "0e9e39f249a16976918f6564b8830bc894c89659" and "revision" not in note
    model, note = model_of("model.name_or_path=me/other", "model.architecture.hidden_size=64")
    assert model.architecture.hidden_size == 64 and "takes only hidden_size from you" in note


def test_the_shape_of_a_model_that_another_file_names_is_taken_from_it():
    model, note = model_of("model.name_or_path=Qwen/Qwen3-8B")
    assert (model.architecture.model_type, model.revision) == ("qwen3", None)
    assert note.endswith("the shape is that of model=qwen3_8b")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2_135m"),
        ("HuggingFaceTB/SmolLM2-135M", "smollm2_135m"),
        ("HuggingFaceTB/SmolLM2-360M", "smollm2_360m"),
        ("meta-llama/Llama-3.2-1B", "llama3_2_1b"),
        ("Qwen/Qwen3-8B-Base", "qwen3_8b"),
        ("google/gemma-3-1b-pt", "gemma3_1b"),
        ("mistralai/Mistral-7B-v0.3", "mistral_7b"),
    ],
)
def test_a_base_model_and_a_packaged_one_on_the_hub_have_the_shape_of_their_file(name: str, file: str):
    model, note = model_of(f"model.name_or_path={name}", experiment="quickstart")
    assert note.endswith(f"the shape is that of model={file}")
    (shelf, _) = model_of(f"model={file}")
    assert model.architecture == shelf.architecture and model.revision is None


def test_a_name_that_only_looks_alike_has_no_shape():
    for name in ("me/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct-16k", "Qwen/Qwen3-9B"):
        assert model_of(f"model.name_or_path={name}")[0].architecture is None


@pytest.mark.parametrize(("experiment", "dropped"), [("tiny", "init"), ("quickstart", "gguf_file")])
def test_the_source_of_the_weights_goes_with_the_name(experiment: str, dropped: str):
    model, note = model_of("model.name_or_path=me/other", experiment=experiment)
    assert (model.init.name, model.gguf_file) == ("pretrained", None) and f"model.{dropped}" in note


def test_the_model_of_an_experiment_of_ones_own_drops_them_too(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: llama3_1_8b\nname: mine\nmodel: {name_or_path: me/other}\n"
        "batch: {global_batch_size: 4, micro_batch_size: 1}\n"
    )
    model, _ = model_of("--config-dir", str(tmp_path), experiment="mine")
    assert (model.name_or_path, model.revision, model.architecture) == ("me/other", None, None)


def test_a_home_folder_is_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model, _ = model_of("model.name_or_path=~/models/mine")
    assert model.name_or_path == f"{tmp_path}/models/mine"


@pytest.mark.parametrize("verb", [("plan",), ("dry_run=true",)])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/no/such/folder", "is not a folder here"),
        ("./nothing", "is not a folder here"),
        ("~/nothing", "is not a folder here"),
        ("me/Qwen2.5-VL-7B-Instruct", "is a vision-language model by its name (VL)"),
        ("me/Qwen3-8B-FP8", "has packed weights by its name (FP8)"),
        ("me/Llama-3-8B-GPTQ-Int4", "has packed weights by its name (GPTQ)"),
        ("mlx-community/Llama-3-8B-4bit", "has packed weights by its name (mlx)"),
        (str(Path(__file__)), "is a file; give the folder that it is in"),
        (str(Path(__file__).parent), "is not the folder of a model: it has no config.json"),
    ],
)
def test_what_is_not_a_model_is_refused_by_name_also_in_a_dry_run(
    verb, name, said, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    code = main([*verb, "+experiment=llama8b_lora", "cluster=slurm", f"model.name_or_path={name}"])
    told = capfd.readouterr().err
    assert code == 1 and said in told and told.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"architectures": ["Gemma3ForConditionalGeneration"], "vision_config": {}},
            "is a vision-language checkpoint (Gemma3ForConditionalGeneration)",
        ),
        ({"model_type": "t5", "is_encoder_decoder": True}, "is an encoder-decoder model (t5)"),
        ({"architectures": ["BertForMaskedLM"]}, "is not a model that writes text (BertForMaskedLM)"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_by_the_name_of_its_class(
    folder, values, said, tmp_path, capfd
):
    path = folder(**values)
    assert main(["plan", "+experiment=llama8b_lora", "cluster=slurm", f"model.name_or_path={path}"]) == 1
    assert f"model.name_or_path={path} {said}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("values", "plugins", "said"),
    [
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "lora",
            "packed by gptq, which cannot be trained",
        ),
        (
            {"quantization_config": {"quant_method": "fp8"}},
            "qlora",
            "packed by fp8, which cannot be trained here",
        ),
        (
            {"quantization": {"group_size": 64, "bits": 4}},
            "lora",
            "packed by mlx, which cannot be trained here",
        ),
        (
            {"quantization": {"group_size": 64}, "quantization_config": {"group_size": 64}},
            "",
            "packed by mlx",
        ),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "lora", "use plugin=[qlora] for 4 bits"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "", "use plugin=[qlora] for 4 bits"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "qlora", ""),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "lora", ""),
        ({}, "lora", ""),
    ],
)
def test_packed_weights_are_refused_where_they_cannot_be_trained(folder, values, plugins, said, capfd):
    path = folder(model_type="llama", num_key_value_heads=4, **SHAPE, **values)
    words = [
        "plan",
        "+experiment=llama8b_lora",
        "cluster=slurm",
        f"model.name_or_path={path}",
        f"plugin=[{plugins}]",
    ]
    assert main([*words, "force=true", "strategy=ddp"]) == (1 if said else 0)
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("values", "typed", "said"),
    [
        ({"model_type": "llama9"}, [], "does not know its model_type llama9, and it ships no code of its own"),
        ({"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "m.M"}}, [], "model.trust_remote_code=true runs that"),
        (
            {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "m.M"}}, ["model.trust_remote_code=true"],
            "sbatch is not on PATH",
        ),
        ({"model_type": "xlnet"}, [], "sbatch is not on PATH"),
    ],
)  # fmt: skip
def test_a_model_whose_code_the_ranks_would_not_find_is_refused_at_the_launch(
    folder, values, typed, said, tmp_path, monkeypatch, capfd
):
    path = folder(**values)
    for name in ("model.safetensors", "tokenizer.json"):
        (path / name).write_bytes(EMPTY_WEIGHTS if name.endswith("safetensors") else b"{}")
    (path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no Slurm is there
    words = [
        "+experiment=llama8b_lora",
        "cluster=slurm",
        f"model.name_or_path={path}",
        "data.check=off",
        "freeze=false",
    ]
    assert main([*words, *typed]) != 0
    assert said in capfd.readouterr().err


def test_the_model_types_that_are_read_are_those_of_transformers():
    from transformers import CONFIG_MAPPING

    known = known_types()
    assert known is not None and set(CONFIG_MAPPING.keys()) <= known
    assert len(known - set(CONFIG_MAPPING.keys())) < 5


def test_the_shape_of_a_model_in_the_hubs_cache_is_read_from_there(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--me--other" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text(
        json.dumps({"model_type": "llama", "num_key_value_heads": 4, **SHAPE})
    )
    assert (
        main(["plan", "+experiment=llama8b_lora", "cluster=slurm", "model.name_or_path=me/other", "--json"])
        == 0
    )
    assert (
        json.loads(capfd.readouterr().out)["model"]["parameters"]
        == 2 * (4 * 64 * 64 + 3 * 64 * 128 + 128) + 2 * 99 * 64 + 64
    )
