"""The weights that a verb is given."""

import json
from pathlib import Path

import pytest

from launcher.__main__ import main
from tests.support.tiny_model import EMPTY_WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors"])
@pytest.mark.parametrize("verb", ["chat", "classify"])
def test_an_export_with_half_of_its_weights_is_refused_in_one_line_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str, name: str
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "export"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForSequenceClassification" if verb == "classify" else "LlamaForCausalLM"]
    }
    (folder / "config.json").write_text(json.dumps(config))
    if name.startswith("adapter"):
        (folder / "adapter_config.json").write_text("{}")
    (folder / name).write_bytes(EMPTY_WEIGHTS[:-1])
    words = {"chat": "--prompt", "classify": "--text"}
    assert main([verb, str(folder), words[verb], "a"]) == 1
    told = capsys.readouterr().err
    assert (
        told
        == f"launcher: {folder}: {name} is incomplete: it has 9 bytes, and its header alone has 2; copy the folder again\n"
    )
