"""Folders of models that are not complete are refused at the launch: the ranks would be the first to find it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.config import Config
from launcher.errors import ConfigError
from launcher.launching.model_files import check_model_files, incomplete_note
from tests.support.tiny_model import EMPTY_WEIGHTS

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
HEADER = b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}  '
CUT = len(HEADER).to_bytes(8, "little") + HEADER + bytes(12)
NO_HEADER = (2).to_bytes(8, "little") + b"[]"
CUT_ARCHIVE = b"PK\x03\x04" + bytes(100)
WHOLE = {"config.json": b"{}", "model.safetensors": EMPTY_WEIGHTS, "tokenizer.json": b"{}"}


@pytest.fixture
def check(compose: Callable[..., Config], tmp_path: Path) -> Callable[..., None]:
    def check(files: dict[str, bytes], *typed: str) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        check_model_files(compose("+experiment=tiny", f"model.name_or_path={folder}", *typed))

    return check


PRETRAINED = "model.init=pretrained"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.safetensors": None}, "has no weights"),
        ({"tokenizer.json": None}, "has no tokenizer"),
        ({"model.safetensors": POINTER}, "model.safetensors is a Git LFS pointer.*git lfs pull"),
        ({"tokenizer.json": POINTER}, "tokenizer.json is a Git LFS pointer"),
        ({"model.safetensors": b""}, "model.safetensors is empty; copy the folder again"),
        (
            {"model.safetensors": CUT},
            "model.safetensors has 84 bytes, and its header says 88; copy the folder again",
        ),
        (
            {"model.safetensors": CUT[:40]},
            "model.safetensors is incomplete: it has 40 bytes, and its header alone has 64",
        ),
        ({"model.safetensors": b"PK"}, "model.safetensors is not a file of the safetensors format"),
        (
            {"model.safetensors": b"<html>no such page</html>"},
            "model.safetensors is not a file of the safetensors format",
        ),
        (
            {"model.safetensors": NO_HEADER},
            "model.safetensors has a header that is not of the safetensors format",
        ),
        (
            {"model.safetensors": None, "pytorch_model.bin": CUT_ARCHIVE},
            "pytorch_model.bin is incomplete: the end of",
        ),
        ({"tokenizer.json": b'{"model":'}, "tokenizer.json is not a JSON object; copy the folder again"),
        (
            {"model.safetensors": None, "model-1.safetensors": b"x", "model.safetensors.index.json": INDEX},
            "1 of the files that model.safetensors.index.json lists are missing, such as model-2.safetensors",
        ),
    ],
)
def test_a_folder_that_is_not_complete_is_refused_with_what_is_missing(check, changes, said: str):
    files = {name: content for name, content in {**WHOLE, **changes}.items() if content is not None}
    with pytest.raises(ConfigError, match=said):
        check(files, PRETRAINED)


@pytest.mark.parametrize(
    "files",
    [
        WHOLE,
        {"pytorch_model.bin": b"x", "tokenizer.model": b"x"},
        {
            "model-1.safetensors": EMPTY_WEIGHTS, "model-2.safetensors": EMPTY_WEIGHTS, "model.safetensors.index.json": INDEX,
            "vocab.json": b"{}",
        },
    ],
)  # fmt: skip
def test_a_complete_folder_passes(check, files: dict[str, bytes]):
    check(files, PRETRAINED)


def test_a_model_that_is_made_anew_needs_no_weights(check):
    check({"config.json": b"{}"}, "model.init=random")


SHAPE = json.dumps(
    {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
     "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 512}
).encode()  # fmt: skip
INCOMPLETE = [
    ({"model.safetensors": None}, "has no weights"),
    ({"tokenizer.json": None}, "has no tokenizer"),
    ({"model.safetensors": POINTER}, "is a Git LFS pointer"),
    ({"model.safetensors": b""}, "is empty"),
    ({"model.safetensors.index.json": INDEX}, "that model.safetensors.index.json lists are missing"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"What is {n}?", "completion": f"A number, {n}"} for n in range(20)]
    (tmp_path / "t.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "model").mkdir()
    return tmp_path


def fill(folder: Path, changes: dict[str, bytes | None]) -> None:
    for name, content in {**WHOLE, "config.json": SHAPE, **changes}.items():
        if content is not None:
            (folder / "model" / name).write_bytes(content)


@pytest.mark.parametrize(("changes", "said"), INCOMPLETE)
def test_init_refuses_a_folder_that_is_not_complete_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, bytes | None], said: str
):
    fill(folder, changes)
    assert main(["init", "--model", "./model", "--data", "t.jsonl"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("launcher: --model ./model") and said in told and told.count("\n") == 1
    assert not (folder / "my_run.yaml").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"<html>", "is not a file of the (GGUF|safetensors) format"),
    ],
)
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "model.q8_0.gguf"])
def test_the_weights_of_an_adapter_and_of_a_gguf_file_are_looked_at(
    folder: Path,
    compose: Callable[..., Config],
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
    said: str,
):
    (folder / "model" / name).write_bytes(content)
    is_adapter = name.startswith("adapter")
    if is_adapter:
        (folder / "model" / "adapter_config.json").write_text("{}")
    config = compose("+experiment=llama8b_lora", "model.name_or_path=./model", "model.revision=null")
    config.model.adapter, config.model.gguf_file = ("./model", None) if is_adapter else (None, name)
    with pytest.raises(ConfigError, match=f"{name} {said}"):
        check_model_files(config)
    assert main(["init", "--model", "./model", "--data", "t.jsonl"]) == 1
    assert re.search(f"--model ./model: {name} {said}", capsys.readouterr().err)


def test_a_plan_notes_why_a_launch_of_the_folder_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], compose: Callable[..., Config]
):
    fill(folder, {"model.safetensors": POINTER})
    words = [
        "+experiment=llama8b_lora",
        "model.name_or_path=./model",
        "model.chat_template=chatml",
        "data.path=t.jsonl",
    ]
    assert main(["plan", *words, "cluster=slurm", "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any(
        "a launch is refused: model.name_or_path=./model: model.safetensors is a Git" in one for one in notes
    )
    (folder / "model" / "model.safetensors").write_bytes(EMPTY_WEIGHTS)
    assert incomplete_note(compose(*words[:3])) == []
