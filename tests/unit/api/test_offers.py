"""The operator's file of models: what is offered by it, and what it must not say."""

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.api.data_dir import DataDir
from launcher.api.offers import read_offers
from launcher.errors import ConfigError


def test_the_verbs_are_known_where_no_web_server_is_installed():
    blocked = "import sys; sys.modules.update(dict.fromkeys(('fastapi', 'uvicorn', 'pydantic', 'starlette')))"
    named = "from launcher.cli.verb import find_verb; find_verb('serve-api'), find_verb('api-keys add')"
    subprocess.run([sys.executable, "-c", f"{blocked}; {named}"], check=True)


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    data_dir = DataDir(tmp_path / "D")
    data_dir.make()
    return data_dir


def read(data_dir: DataDir, text: str):
    file = data_dir.folder.parent / "site.yaml"
    file.write_text(text)
    return read_offers(file, data_dir)


def test_without_a_file_the_models_of_the_first_hour_are_offered(data_dir):
    offers = read_offers(None, data_dir)
    assert sorted(offers.models) == ["smollm2-135m", "tiny"]
    assert offers.models["smollm2-135m"]["supervised"].learning_rate == 1e-3


def test_a_model_has_the_common_keys_its_own_and_those_of_a_method(data_dir):
    offers = read(
        data_dir,
        "models: {m: {extends: tiny, trainer: {learning_rate: 1.0e-4}, methods: {dpo: {trainer: {learning_rate: 2.0e-5}}}}}\n"
        "run: {cluster: slurm, resources: {nodes: 2, gpus_per_node: 4}, trainer: {learning_rate: 1.0}}\nat_once: 3\n",
    )
    supervised, dpo = offers.models["m"]["supervised"], offers.models["m"]["dpo"]
    assert (supervised.learning_rate, supervised.ranks, supervised.queued) == (1e-4, 8, True)
    assert dpo.learning_rate == 2e-5 and offers.at_once == 3
    assert "kind: dpo" in dpo.settings.read_text() and "kind: sft" in supervised.settings.read_text()


def test_a_file_that_is_extended_is_found_beside_the_sites_file(data_dir):
    (data_dir.folder.parent / "base.yaml").write_text("extends: tiny\ntrainer: {learning_rate: 0.5}\n")
    (data_dir.folder.parent / "site").mkdir()
    offers = read(data_dir, "models: {m: {extends: base.yaml}}\nconfig_dir: site")
    assert offers.models["m"]["supervised"].learning_rate == 0.5
    assert offers.config_dir == data_dir.folder.parent / "site"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: {}", "models has no entry"),
        ("model: {m: {extends: tiny}}", "did you mean models"),
        ("models: {../m: {extends: tiny}}", "must be 1 to 64 of A-Z"),
        ("models: {m: {extends: tiny, name: x}}", "name is set by the server"),
        ("models: {m: {extends: tiny, data: {path: x}}}", "data.path is set by the server"),
        ("models: {m: {extends: tiny, trainer.max_steps: 3}}", "trainer.max_steps is set by the server"),
        ("models: {m: {extends: tiny, methods: {kto: {}}}}", "unknown method 'kto'"),
        ("models: {m: {extends: tiny, trainer: {lerning_rate: 1}}}", "did you mean trainer.learning_rate"),
        ("models: {m: {extends: nowhere}}", "nowhere"),
        ("models: {m: {extends: tiny}}\nat_once: 0", "at_once=0 must be"),
        ("models: [m]", "must be a mapping"),
    ],
)
def test_a_file_with_a_mistake_is_refused_before_anything_is_served(data_dir, text, said):
    with pytest.raises(ConfigError, match=said):
        read(data_dir, text)
