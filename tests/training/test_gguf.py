"""A model becomes a GGUF file by llama.cpp's converter, and counts only once it was read back with the same values."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.after.export import is_export
from launcher.after.gguf import find_converter
from launcher.errors import PackageError, RunError, UsageError
from launcher.output import plain
from launcher.plugins.decide import reread_run
from launcher.protocol.work.requests import MakeGguf
from launcher.protocol.work.results import ExportedGguf
from launcher.run import RunDir
from launcher.train.after import gguf, gguf_read
from launcher.train.model import load_model, load_tokenizer
from tests.support import gguf_converter
from tests.support.shapes import check_printed, differences

CONVERTER = Path(gguf_converter.__file__)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that trained every weight: planned, with a model of its shape in model/."""
    folder = tmp_path_factory.mktemp("gguf")
    before = Path.cwd()
    os.chdir(folder)
    try:
        words = [
            "+experiment=tiny",
            "cluster=local",
            "data.check=off",
            "plugin=[]",
            f"cache_dir={folder}/cache",
        ]
        assert main([*words, "dry_run=true"]) == 0
    finally:
        os.chdir(before)
    run = RunDir(next((folder / "runs" / "tiny").iterdir()))
    decided = reread_run(run)
    model = load_model(decided.config.model, decided.plan, [], 0)
    model.save_pretrained(run.export)
    load_tokenizer(decided.config.model, decided.plan.facts, 0).save_pretrained(run.export)
    return run


@pytest.fixture
def convert(run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExportedGguf]:
    """What the process with the training stack answers, by a converter with that fault."""

    def convert(kind: str, fault: str = "", quantizer: str | None = None) -> ExportedGguf:
        monkeypatch.setenv("CONVERTER_FAULT", fault)
        request = MakeGguf(
            run_dir=str(run.path), to=str(tmp_path / "out"), type=kind, quantizer=quantizer,
            converter=(sys.executable, str(CONVERTER)), checkpoint=None, force=False,
        )  # fmt: skip
        return gguf.answer(request, lambda _: None)

    return convert


@pytest.mark.parametrize(
    ("kind", "most"), [("f16", 1e-3), pytest.param("q8_0", 0.05, marks=pytest.mark.long)]
)
def test_the_file_holds_the_model_and_was_read_back(convert, tmp_path, kind: str, most: float):
    result = convert(kind)
    assert not list(differences(plain(result), ExportedGguf))
    assert result.logits_difference < most
    assert result.difference < most
    assert result.tensors_compared == result.tensors > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", f"tiny-{kind}.gguf"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## GGUF" in card
    assert is_export(tmp_path / "out")


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("values", r"the logits of the GGUF file differ from the model's by .*; nothing was kept"),
        ("unknown", r"gguf_converter.py could not convert the model: NotImplementedError: the pre-tokenizer"),
    ],
)
def test_a_file_that_is_another_model_is_refused_and_leaves_nothing(
    convert, tmp_path, fault: str, sentence: str
):
    with pytest.raises(RunError, match=sentence):
        convert("f16", fault)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fault", "wrong"), [("", 0), ("values", 4), ("missing", 0)])
def test_the_values_are_compared_without_transformers(run, tmp_path, fault: str, wrong: int):
    gguf_converter.convert(run.export, tmp_path / "m.gguf", "f16", fault)
    found = gguf_read.read_tensors(tmp_path / "m.gguf", run.export)
    assert len(found.wrong) == wrong
    assert (found.values < found.expected) is (fault == "missing")


@pytest.mark.long
def test_a_type_of_llama_quantize_is_made_of_an_f16_file(convert, tmp_path):
    quantizer = tmp_path / "llama-quantize"
    quantizer.write_text('#!/bin/sh\n[ "$3" = Q4_K_M ] && cp "$1" "$2"\n')
    quantizer.chmod(0o755)
    result = convert("q4_k_m", quantizer=str(quantizer))
    assert Path(result.file).name == "tiny-q4_k_m.gguf"
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_missing_converter_is_reported_with_the_way_to_install_it(tmp_path, monkeypatch, run, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=r"git clone --depth 1 https://github.com/ggml-org/llama.cpp"):
        find_converter(None)
    with pytest.raises(UsageError, match=r"convert_hf_to_gguf.py is not a file"):
        find_converter(tmp_path)
    shutil.copy(CONVERTER, tmp_path / "convert_hf_to_gguf.py")
    assert find_converter(tmp_path) == [sys.executable, str(tmp_path / "convert_hf_to_gguf.py")]
    words = ["export", str(run.path), "--converter", str(tmp_path)]
    for more, sentence in (
        (["--gguf", "q4_k_m"], "needs llama-quantize"),
        (["--gguf", "q4"], "choose one of f16, bf16"),
        (["--gguf", "--dtype", "bf16"], "leave --dtype out"),
        ([], "is for --gguf"),
    ):
        assert main([*words, *more]) in (1, 2)
        assert sentence in capsys.readouterr().err


@pytest.mark.long
def test_the_verb_writes_the_file_into_the_run_dir(run, capsys):
    assert main(["export", str(run.path), "--gguf", "--converter", str(CONVERTER), "--json"]) == 0
    printed = capsys.readouterr().out
    check_printed(["export", "--gguf", "--json"], printed)
    assert (run.path / "export" / "gguf_f16" / "tiny-f16.gguf").is_file()
    assert main(["export", str(run.path), "--gguf", "--converter", str(CONVERTER)]) == 1
    assert "--force" in capsys.readouterr().err
