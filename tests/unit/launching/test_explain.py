"""What Hydra refuses without a key or a file is answered with key, value, rule and way out, in one line."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from launcher.errors import ConfigError, LauncherError
from launcher.launching.compose import compose
from launcher.sweep.expand import read_axes

TINY = "+experiment=tiny"


def refusal(*arguments: str) -> str:
    with pytest.raises(LauncherError) as refused:
        compose(list(arguments))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("plugins=[]", "plugins=[] must be keys with values, such as {key:value}; 'plugin=[]' chooses none"),
        ("plugins=3", "plugins=3 must be keys with values"),
        ("plugin=null", "plugin=null: 'plugin=[]' chooses none; unknown plugin 'null'"),
        ("cluster=null", "cluster=null: unknown cluster 'null'. Known: allocation, alps, auto,"),
        ("model=3", "model=3: unknown model '3'"),
        ("+experiment=null", "experiment=null: unknown experiment 'null'"),
        ("=", "= has no key; write KEY=VALUE"),
        ("=3", "=3 has no key; write KEY=VALUE"),
        ("", "an empty argument has no key"),
        ("a=b=c", "quote the value, as in 'a=\"...\"'"),
        ("~nothing", "~nothing removes nothing"),
        ("~trainer.max_steps", "~trainer.max_steps cannot remove a key"),
        ("+trainer=dpo", "trainer is chosen already, so + cannot add another; write trainer=NAME without +"),
        ("trainer.max_steps=ten", "trainer.max_steps=ten must be a whole number"),
        (
            "trainer.packing.x=3",
            "trainer.packing.x: trainer.packing must be true or false and has no keys below it",
        ),
        ("cluster.sbatch=[a]", "cluster.sbatch=[a] must be keys with values"),
        ("batch=[]", "batch=[] must be a group of keys, such as batch.global_batch_size=..."),
        ("data.sources=x", "data.sources=x must be a list of groups of keys, such as [{path: ...}]"),
        (
            "data.sources=[{path:a,wheight:2}]",
            "in an item of data.sources: unknown key 'wheight'; did you mean weight?",
        ),
        (
            "resources=[{nodes: 1}]",
            "not values; write resources.shapes=[{nodes: 1}] or resources.nodes=VALUE",
        ),
        ("data=[{path: a.jsonl}]", "not values; write data.sources=[{path: a.jsonl}] or data.path=VALUE"),
        (
            "plugin=[lora,3]",
            "plugin=[lora,3]: a list after plugin= holds names of its files (early_stopping, ",
        ),
        ("+experiment=[[a]]", "not values; write +experiment=llama70b_lora_zero3"),
        ("strategy=[null],ddp", "strategy=[null],ddp: a list after strategy= holds names"),
        ("trainer={a:1}", "keys; docs/reference/keys.md and python -m launcher --cfg job list them"),
        ("name=${sede}", "name=${sede} refers to sede, which is not a key; did you mean ${seed}?"),
        ("name=${oc.env:NOT_SET_HERE}", "refers to the environment variable NOT_SET_HERE, which is not set"),
    ],
)
def test_an_override_is_answered_with_its_key_value_and_rule(typed: str, said: str):
    assert said in refusal(TINY, typed)


@pytest.mark.parametrize(
    ("group", "content", "said"),
    [
        (
            "cluster",
            b"gpus_per_node: 4 # caf\xe9\n",
            "mine.yaml is not UTF-8 text (line 1 has the byte 0xe9)",
        ),
        (
            "cluster",
            b"defaults: [slurm, _self_]\ngpus_per_node: [4\n",
            "mine.yaml is not YAML: line 3: expected ',' or ']'",
        ),
        ("cluster", b"- 3\n", "mine.yaml holds a list; write keys with values"),
        (
            "cluster",
            b"defaults: [slurm, _self_]\ngpus_per_node: four\n",
            "mine.yaml: cluster.gpus_per_node=four must be a",
        ),
        (
            "experiment",
            b"# @package _global_\nname: x\nplugins: []\n",
            "mine.yaml: plugins=[] must be keys with values",
        ),
        (
            "experiment",
            b"# @package _global_\nname: x\ntrainer: [a]\n",
            "trainer=['a'] must be a group of keys",
        ),
        (
            "experiment",
            b"# @package _global_\nname: x\nbatch: {micro_size: 3}\n",
            "did you mean batch.micro_batch_size?",
        ),
    ],
)
def test_a_file_is_answered_with_its_name(tmp_path: Path, group: str, content: bytes, said: str):
    (tmp_path / group).mkdir()
    (tmp_path / group / "mine.yaml").write_bytes(content)
    chosen = "+experiment=mine" if group == "experiment" else TINY
    more = ["cluster=mine"] if group == "cluster" else []
    assert said in refusal("--config-dir", str(tmp_path), chosen, *more)


def test_a_value_that_a_sweep_would_try_twice_is_refused():
    axes = OverridesParser.create().parse_overrides(["seed=1,2,1"])
    with pytest.raises(ConfigError, match="seed=1,2,1 has the value 1 more than once"):
        read_axes(axes)


def test_a_folder_that_is_not_there_is_named():
    assert "--config-dir=/not/there is not a folder" in refusal("--config-dir", "/not/there", TINY)
