"""A run whose positions are stretched: its adapter, what opens it again, and a run that goes on from it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from launcher.data.tokenizer import byte_tokenizer
from launcher.train.after.opened import open_folder
from tests.support.runs import Finished
from tests.training.resuming import planned

pytestmark = pytest.mark.train

STRETCHED = {"factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 1e4, "rope_type": "yarn"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with 128 positions."""
    folder, tokenizer = tmp_path_factory.mktemp("base"), byte_tokenizer()
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    model = LlamaForCausalLM(
        LlamaConfig(
            **shape,
            vocab_size=len(tokenizer),
            max_position_embeddings=128,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def words(base: Path, plugins: str) -> tuple[str, ...]:
    return (
        "model.init=pretrained", f"model.name_or_path={base}", "model.architecture=null", "model.max_length=512",
        "trainer.max_steps=2", f"plugin=[{plugins}]",
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(warm, cache, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A LoRA run of it under yarn."""
    run = planned(
        tmp_path_factory.mktemp("run"),
        cache,
        *words(base, "lora,sharded_checkpoint"),
        "model.rope_scaling={factor: 4}",
    )
    assert warm.run(run.path)["codes"] == [0], run.logs()
    return run


def test_an_adapter_of_stretched_positions_is_opened_with_them(run: Finished, base: Path):
    written = json.loads((run.path / "model" / "config.json").read_text())
    assert (written["rope_parameters"], written["max_position_embeddings"]) == (STRETCHED, 512)
    opened = open_folder(run.path / "model").model
    assert opened.config.rope_parameters == STRETCHED
    ids = torch.arange(40)[None]
    plain = LlamaForCausalLM.from_pretrained(base)
    with torch.no_grad(), opened.disable_adapter():
        assert not torch.allclose(opened(ids).logits, plain(ids).logits, atol=1e-4)
    exported = run.events("exported")[0]
    assert exported.get("why") is None  # it was loaded back and compared


@pytest.mark.parametrize("key", ["model.adapter", pytest.param("model.name_or_path", marks=pytest.mark.long)])
def test_a_run_that_goes_on_from_it_has_its_positions(run: Finished, base: Path, cli, key: str):
    given = [
        word
        for word in words(base, "lora,sharded_checkpoint")
        if key == "model.adapter" or "name_or_path" not in word
    ]
    typed = ("+experiment=tiny", *given, f"{key}={run.path / 'model'}")
    done = cli(*typed, "dry_run=true", "--json")
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["run_dir"])
    assert "factor: 4.0" in (folder / "config.yaml").read_text()
    refused = cli(*typed, "model.rope_scaling={factor: 8}", "dry_run=true")
    assert refused.returncode == 1
    assert "model.rope_scaling is not that of model.adapter" in refused.stderr


def test_a_full_model_of_stretched_positions_is_loaded_back_once_stretched(warm, cache, base: Path, tmp_path):
    run = planned(
        tmp_path,
        cache,
        *words(base, "sharded_checkpoint"),
        "model.rope_scaling={rope_type: linear, factor: 4}",
    )
    assert warm.run(run.path)["codes"] == [0], run.logs()
    written = json.loads((run.path / "model" / "config.json").read_text())
    assert written["max_position_embeddings"] == 512
    assert written["rope_parameters"]["rope_type"] == "linear"
    assert run.events("exported")[0].get("why") is None
