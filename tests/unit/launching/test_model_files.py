"""Folders of models that are not complete are refused at the launch: the ranks would be the first to find it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.launching.model_files import check_model_files

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
WHOLE = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}"}


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
            "model-1.safetensors": b"x", "model-2.safetensors": b"x", "model.safetensors.index.json": INDEX,
            "vocab.json": b"{}",
        },
    ],
)  # fmt: skip
def test_a_complete_folder_passes(check, files: dict[str, bytes]):
    check(files, PRETRAINED)


def test_a_model_that_is_made_anew_needs_no_weights(check):
    check({"config.json": b"{}"}, "model.init=random")
