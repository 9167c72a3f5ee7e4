"""The command line on the cluster for one that was typed on a laptop."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from launcher.errors import ConfigError
from launcher.remote.command import words_there
from launcher.remote.content import Hashes
from launcher.remote.paths import SENT, gather_paths
from launcher.remote.words import flags_of, overrides_there


def there(*typed: str, config_dir: str | None = None, **values: object) -> list[str]:
    keys = {key.replace("__", "."): value for key, value in values.items()}
    return overrides_there(
        typed, keys, config_dir, lambda path: path.name if path.name == "mine.yaml" else None
    )


@pytest.mark.parametrize(
    "path", ["/a b/it's", "/x=1,2", "/$HOME", "/{a}", '/"q"', "/back\\slash", "/ü", "/(1)"]
)
def test_a_path_with_any_character_arrives_as_it_is(path):
    (word,) = there(data__path=path)
    assert OverridesParser.create().parse_override(word).value() == path


def test_what_was_typed_for_a_replaced_key_is_left_out():
    typed = ["+experiment=tiny", "++data.path=here.jsonl", "runs_dir=mine", "cluster.ssh=login", "seed=1"]
    assert there(*typed, data__path="/there.jsonl") == [
        "+experiment=tiny",
        "seed=1",
        "data.path=/there.jsonl",
    ]


def test_the_folder_of_configurations_is_the_copy():
    for typed in (["--config-dir", "~/site"], ["-cd", "~/site"], ["--config-dir=~/site"]):
        assert there(*typed, "seed=1", config_dir="/copy") == ["--config-dir", "/copy", "seed=1"]


def test_a_file_of_ones_own_is_named_if_it_was_sent_and_else_spelled_out(tmp_path):
    mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    mine.write_text("extends: tiny\nseed: 7\n")
    other.write_text("extends: tiny\nseed: 7\n")
    assert there("--config", str(mine), "seed=1") == ["--config", "mine.yaml", "seed=1"]
    assert there(f"--config={mine}", "seed=1") == ["--config", "mine.yaml", "seed=1"]
    assert there("--config", str(other)) == ["+experiment=tiny", "seed=7", "name=other"]
    mine.write_text("extends: other.yaml\nseed: 8\n")
    assert there("--config", str(mine)) == ["+experiment=tiny", "seed=8", "name=mine"]


def test_options_of_the_verb_are_told_from_overrides():
    words = ["+experiment=tiny", "--json", "-v", "seed=1"]
    assert flags_of(words, ["+experiment=tiny", "seed=1"]) == ["--json", "-v"]


def test_a_run_is_named_by_its_folder_on_the_cluster():
    assert words_there(["-f", "tiny", "--runs-dir", "x"], "tiny", "/there/tiny") == ["-f", "/there/tiny"]
    assert words_there(["--json", "--runs-dir=x"], None, "/there/tiny") == ["/there/tiny", "--json"]


def values(tmp_path, text: str, **environ: str):
    return {one.key: one.value for one in gather_paths(OmegaConf.create(text), Hashes(tmp_path), environ)}


def test_what_exists_here_is_sent_and_all_else_is_the_clusters(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / ".hidden").write_text("not sent")
    found = values(
        tmp_path,
        f"data: {{path: $HERE/a.jsonl, eval_path: $SCRATCH/b.jsonl}}\n"
        f"model: {{name_or_path: {tmp_path}/model, adapter: me/lora}}\n"
        "resume: auto\nplugins: {guard: {data: '~/c.jsonl', rate: 3}}",
        HERE=str(tmp_path),
    )
    assert found.keys() == {"data.path", "model.name_or_path"}
    assert found["data.path"].startswith(f"{SENT}/data/") and found["data.path"].endswith("/a.jsonl")


def test_sources_folders_and_patterns_of_data_are_sent(tmp_path):
    for name in ("x/1.jsonl", "x/2.jsonl", "y.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = values(
        tmp_path,
        f"data: {{path: {tmp_path}/x, eval_path: '{tmp_path}/x/*.jsonl', sources: [{{path: {tmp_path}/y.jsonl, weight: 2.0}}, "
        "{path: 'hub:me/data', weight: 1.0}]}",
    )
    assert found["data.path"].endswith("/x") and found["data.eval_path"].endswith("/*.jsonl")
    assert [one["path"].rpartition("/")[2] for one in found["data.sources"]] == ["y.jsonl", "data"]


def test_a_relative_path_of_data_that_is_not_here_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.path=tarin\.jsonl is not a file here"):
        values(tmp_path, "data: {path: tarin.jsonl}")
