"""A file of one's own stands for the overrides that it would take to type it; each fault in it is one line."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import LauncherError, UsageError
from launcher.launching.compose import compose
from launcher.launching.composed import Composed
from launcher.launching.own_file.write import in_grammar

WHOLE = """
extends: tiny
name: 2026
data: {path: "a, b.jsonl", eval_path: null}
trainer:
  kind: dpo
  learning_rate: 1e-4
  sample_prompt: "it's a \\"b\\" \\\\ c, [d] {e: f}\\nline"
  lr_scheduler_type: cosine_with_min_lr
  lr_scheduler_kwargs: {min_lr_rate: 0.1}
strategy: fsdp2
model: {extends: qwen3_8b, max_length: 512, architecture: {num_hidden_layers: 2}}
tracker: {kind: tensorboard}
plugins:
  lora: {r: 8}
  gradient_checkpointing:
  sharded_checkpoint: false
resources: {time: 12:00:00}
cluster.env: {ONE: "x 'y' \\\\"}
cluster: {sbatch: {cpus-per-task: 3, begin: 12:00:00}, env: {TWO: 010}}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Composed]:
    """What `--config run.yaml` composes, for a text of the file and further arguments."""
    monkeypatch.chdir(tmp_path)

    def own(text: str, *arguments: str) -> Composed:
        Path("run.yaml").write_text(text)
        return compose(["--config", "run.yaml", *arguments])[0]

    return own


def test_every_kind_of_key_reaches_the_configuration(own):
    config = own(WHOLE).config
    assert (config.name, config.data.path, config.data.eval_path) == ("2026", "a, b.jsonl", None)
    assert (config.trainer.kind, config.trainer.beta, config.trainer.learning_rate) == ("dpo", 0.1, 1e-4)
    assert config.trainer.sample_prompt == 'it\'s a "b" \\ c, [d] {e: f}\nline'
    assert config.trainer.lr_scheduler_kwargs == {"min_lr_rate": 0.1}
    assert config.strategy.engine == "fsdp2"
    assert config.model.name_or_path == "Qwen/Qwen3-8B"
    assert config.model.architecture.num_hidden_layers == 2
    assert config.tracker.kind == "tensorboard"
    assert list(config.plugins) == ["lora", "gradient_checkpointing"]
    assert config.plugins["lora"]["r"] == 8
    assert config.resources.time == "12:00:00"
    assert config.cluster.env == {"ONE": "x 'y' \\", "TWO": "010"}
    assert config.cluster.sbatch == {"cpus-per-task": "3", "begin": "12:00:00"}


def test_what_is_typed_wins_and_the_file_gives_the_name(own):
    composed = own("extends: tiny\ntrainer: {max_steps: 3}\n", "trainer.max_steps=5")
    assert (composed.config.name, composed.config.trainer.max_steps) == ("run", 5)
    assert composed.experiment == "tiny"
    assert own("trainer: {max_steps: 3}\n", "+experiment=tiny").config.trainer.max_steps == 3


def test_a_chain_of_files_ends_in_an_experiment_and_the_last_word_is_the_nearest(own, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text(
        "extends: ../root.yml\nseed: 1\nplugins: {lora: {r: 4}, neftune: }\n"
    )
    (tmp_path / "root.yml").write_text("extends: tiny\nseed: 2\nplugins: {lora: {r: 2, alpha: 3}}\n")
    composed = own("extends: sub/base.yaml\nplugins: {neftune: false}\n")
    assert composed.config.seed == 1
    assert (composed.config.plugins["lora"]["r"], composed.config.plugins["lora"]["alpha"]) == (4, 3)
    assert list(composed.config.plugins) == ["lora", "sharded_checkpoint"]
    assert [source.path.name for source in composed.sources] == ["run.yaml", "base.yaml", "root.yml"]


def test_a_run_dir_keeps_the_file_and_can_be_composed_without_it(own, tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    )
    text = "extends: tiny  # mine\ndata: {path: t.jsonl, eval_path: null}\n"
    own(text)
    assert main(["--config", "run.yaml", "dry_run=true", "--json"]) == 0
    run = next(Path("runs/run").iterdir())
    assert (run / "asked" / "run.yaml").read_text() == text
    assert "data.path=t.jsonl" in (run / ".hydra" / "overrides.yaml").read_text()
    assert main(["--config", "run.yaml", "-m", "seed=1,2", "dry_run=true", "--json"]) == 0
    assert [path.read_text() for path in Path("runs/run").glob("sweep_*/asked/run.yaml")] == [text]


def test_data_check_takes_the_data_of_the_file(own, tmp_path, capsys):
    (tmp_path / "t.jsonl").write_text('{"question": "a", "response": "b"}\n')
    own("extends: tiny\ndata: {path: t.jsonl, eval_path: null}\n")
    main(["data", "check", "--config", "run.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["rows"] == 1
    assert (
        main(["data", "check", "--json"])
        == main(["data", "check", "t.jsonl", "--config", "run.yaml", "--json"])
        == 2
    )


FAULTS = [
    ("trainer:\n  lerning_rate: 1\n", "run.yaml:2: unknown key trainer.lerning_rate; did you mean trainer.learning_rate?"),
    ("trianer:\n  max_steps: 1\n", "run.yaml:1: unknown key trianer; did you mean trainer?"),
    ("model:\n  architecture: {hidden: 3}\n", "run.yaml:2: unknown key model.architecture.hidden; did you mean"),
    ("data:\n  sources:\n  - pth: a\n", "run.yaml:3: unknown key data.sources.pth; did you mean data.sources.path?"),
    ("plugins:\n  lora:\n    rr: 4\n", "run.yaml:3: unknown key plugins.lora.rr; did you mean plugins.lora.r?"),
    ("plugins:\n  lra: {r: 4}\n", "run.yaml:2: unknown plugin 'lra'; did you mean lora?"),
    ("plugins:\n  lora: 4\n", "run.yaml:2: plugins.lora holds options"),
    ("plugin: [lora, x]\n", "run.yaml:1: plugin: unknown plugin 'x'"),
    ("seed: 1\nseed: 2\n", "run.yaml:2: seed is given twice, first on line 1"),
    ("trainer:\n  max_steps: 1\ntrainer.max_steps: 2\n", "run.yaml:3: trainer.max_steps is given twice, first on line 2"),
    ("trainer:\n\tmax_steps: 1\n", "run.yaml:2: a tab indents"),
    ("trainer:\n  max_steps: abc\n", "run.yaml:2: trainer.max_steps=abc must be a whole number"),
    ("trainer:\n  max_steps: {a: 1}\n", "run.yaml:2: trainer.max_steps={a:1} must be a whole number"),
    ("trainer:\n  max_steps:\n", "run.yaml:2: trainer.max_steps=null must be a whole number"),
    ("trainer:\n  precision: fp16\n", "run.yaml:2: trainer.precision=fp16 must be one of auto, bf16, fp32"),
    ("model: Qwen/Qwen3-8B\n", "run.yaml:1: model=Qwen/Qwen3-8B is a hub id or a folder, not a file of conf/model"),
    ("data: rows.jsonl\n", "run.yaml:1: data=rows.jsonl is a data file, not a file of conf/data; write data.path=rows.jsonl"),
    ("trainer:\n  max_steps:1\n", "run.yaml:1: trainer: max_steps:1: write a space after the colon"),
    ("base_model: a/b\nsequence_len: 1\nnum_epochs: 1\n", "run.yaml:1: base_model, sequence_len, num_epochs are keys of"),
    ("batch: 32\n", "run.yaml:1: batch holds keys, such as batch.global_batch_size"),
    ("strategy: zero4\n", "run.yaml:1: strategy: unknown strategy 'zero4'; did you mean zero3?"),
    ("", "run.yaml holds no key"),
    ("- a\n", "run.yaml:1: a configuration is lines of the form key: value"),
    ("name: a: b\n", "run.yaml:1: not YAML (mapping values are not allowed here); quote a value that holds a colon"),
    ("name: a\n---\nname: b\n", "run.yaml:2: a second document begins"),
    ("a: &a\n  b: *a\n", "run.yaml:1: an alias (*) repeats the part that it stands in"),
    ("seed: !!python/object/apply:os.system [ls]\n", "run.yaml:1: not YAML (could not determine a constructor"),
    ("defaults:\n- override /model: tiny\n", "run.yaml:1: defaults belongs to a file of Hydra's"),
    ("extends: run.yaml\n", "the files extend each other in a circle: run.yaml -> run.yaml"),
    ("extends: llama8b_lra\n", "run.yaml:1: extends: unknown experiment 'llama8b_lra'; did you mean llama8b_lora?"),
    ("extends: no.yaml\n", "run.yaml:1: extends: no.yaml is not a file in ."),
    ("experiment: tiny\n", "run.yaml:1: experiment is written extends: NAME"),
    ("tracker:\n  project: ${oc.env:HF_TOKEN}\n", "run.yaml:2: tracker.project refers to HF_TOKEN, a secret"),
    ("cluster.env: {A: '${oc.env:MY_API_KEY,x}'}\n", "run.yaml:1: cluster.env.A refers to MY_API_KEY, a secret"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_fault_in_the_file_is_one_line(own, text: str, said: str):
    with pytest.raises(LauncherError) as refused:
        own(text)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("seed: 1\n".encode("utf-16"), "run.yaml is UTF-16; save it as UTF-8"),
        (b"name: a\nseed: 1 # gr\xfc\n", "run.yaml:2: byte 0xfc is not UTF-8"),
        (b"seed: 1\x00\n", "run.yaml:1: not YAML"),
    ],
)
def test_bytes_that_are_no_text_are_named(tmp_path, monkeypatch, raw: bytes, said: str):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_bytes(raw)
    with pytest.raises(LauncherError, match=said):
        compose(["--config", "run.yaml"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config"], "--config needs a file"),
        (["--config", "run.yaml", "--config", "b.yaml"], "--config is given 2 times"),
        (["--config", "run.yaml", "+experiment=tiny"], r"\+experiment=tiny and extends: quickstart \(run.yaml:1\)"),
        (["--config", "rum.yaml"], "rum.yaml cannot be read .No such file or directory.; . has run.yaml"),
        (["run.yaml"], "run.yaml is a file; write --config run.yaml"),
        (["+experiment=run.yaml"], "write --config run.yaml"),
    ],
)  # fmt: skip
def test_a_command_line_that_gives_the_file_wrongly_is_reported(own, arguments: list[str], said: str):
    own("extends: quickstart\n")
    with pytest.raises(LauncherError, match=said) as refused:
        compose(arguments)
    assert isinstance(refused.value, UsageError) == (arguments[-1] != "rum.yaml" and "--config" in arguments)


def test_a_secret_in_the_file_or_in_an_error_is_not_shown(own, monkeypatch, capsys):
    monkeypatch.setenv("MY_TOKEN", "hf_abcdefghijk")
    with pytest.raises(LauncherError, match="contains the value of MY_TOKEN"):
        own("extends: tiny  # hf_abcdefghijk\n")
    own("extends: tiny\n")
    assert main(["--config", "run.yaml", "trainer.max_steps=${oc.env:MY_TOKEN}", "--json"]) == 1
    told = capsys.readouterr()
    assert "hf_abcdefghijk" not in told.out + told.err
    assert json.loads(told.out)["error"]["exit_code"] == 1


def test_an_own_experiment_without_its_package_line_is_refused_with_the_line(tmp_path):
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    mine.write_text("name: mine\ntrainer: {max_steps: 3}\n")
    arguments = ["--config-dir", str(tmp_path), "+experiment=mine"]
    with pytest.raises(LauncherError, match="its first line must be `# @package _global_`"):
        compose(arguments)
    mine.write_text(f"# @package _global_\n{mine.read_text()}")
    assert compose(arguments)[0].config.trainer.max_steps == 3
    (tmp_path / "run.yaml").write_text("extends: mine\nseed: 4\n")
    both = compose(["--config", os.fspath(tmp_path / "run.yaml"), "--config-dir", str(tmp_path)])[0].config
    assert (both.trainer.max_steps, both.seed) == (3, 4)


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("resources: {time: 5:00}", True),
        ("resources:\n  time: 1:30:00  # long", True),
        ("resources: {nodes: 1, time: 12:00, gpus_per_node: 1}", True),
        ("resources: {time: '5:00'}", False),
        ('resources: {time: "12:00:00"}', False),
        ("resources: {time: 300}", False),
        ("resources: {time: 04:00:00}", False),
    ],
)
def test_a_time_that_yaml_made_a_number_of_is_refused_in_a_hydra_file(tmp_path, line: str, refused: bool):
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    mine.write_text(f"# @package _global_\nname: mine\ndata: {{path: a.jsonl}}\n{line}\n")
    arguments = ["--config-dir", str(tmp_path), "+experiment=mine"]
    if refused:
        with pytest.raises(LauncherError, match=r"mine\.yaml:[45]: resources\.time: YAML reads .*; quote it"):
            compose(arguments)
    assert compose([*arguments, "resources.time=05:00"] if refused else arguments)


TEXTS = [
    "",
    " ",
    "null",
    "1e5",
    "a'b",
    "\\",
    "\\'",
    "a\\\\'",
    "x,y",
    "[a]",
    "{b}",
    "=",
    "#",
    "é\n",
    "$x",
    "a.b/c-d",
]


def test_text_keeps_every_character_on_its_way_through_the_grammar():
    line = f"++trainer.lr_scheduler_kwargs.texts={in_grammar(TEXTS)}"
    assert compose(["+experiment=tiny", line])[0].config.trainer.lr_scheduler_kwargs["texts"] == TEXTS
