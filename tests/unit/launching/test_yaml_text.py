"""YAML by libyaml has the values and the text of OmegaConf's own functions."""

import io

import pytest
import yaml
from omegaconf import OmegaConf

from launcher.launching.yaml_text import load, to_yaml
from tests.support.paths import ROOT

FILES = sorted((ROOT / "conf").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_file_is_read_and_written_as_by_omegaconf(path):
    with path.open(encoding="utf-8") as file:
        ours = load(file)
    theirs = OmegaConf.load(path)
    assert ours == theirs and OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)


@pytest.mark.parametrize(
    "value",
    ["true", "1e-5", "0o17", "12:00:00", "a: b", "- x", "", " a ", "line\nline\n", "'\"", "\u00e9\u6f22", "\U0001f600",
     "x" * 200, "C:\\Users", "word " * 40, None, 1e-5, {"a": []}],
)  # fmt: skip
def test_a_value_is_written_as_by_omegaconf(value):
    cfg = OmegaConf.create({"key": value, "list": [value]})
    assert to_yaml(cfg) == OmegaConf.to_yaml(cfg, resolve=True)


def test_an_interpolation_is_written_as_its_value():
    assert to_yaml(OmegaConf.create({"a": 1, "b": "${a}"})) == "a: 1\nb: 1\n"


def test_numbers_and_dates_are_read_as_by_omegaconf():
    assert load(io.StringIO("a: 1e-5\nb: 2020-01-01\nc: 1_0")) == {"a": 1e-5, "b": "2020-01-01", "c": 10}
    assert load(io.StringIO("# nothing\n")) == {}


def test_a_key_that_is_there_twice_is_an_error():
    with pytest.raises(yaml.YAMLError, match="found duplicate key a"):
        load(io.StringIO("a: 1\na: 2\n"))
