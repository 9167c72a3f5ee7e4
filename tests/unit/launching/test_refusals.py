"""Bad input ends in one line that names the way out, before anything is written."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main

TINY = ["+experiment=tiny", "cluster=slurm"]
ROW = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good evening."}]}


@pytest.fixture
def refusal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    commands: Callable[..., Path],
) -> Callable[..., str]:
    """Runs the command in tmp_path and returns its refusal: exit code 1, one line on stderr, nothing written."""
    monkeypatch.chdir(tmp_path)

    def refusal(*arguments: str, sbatch: str | None = "echo 1") -> str:
        monkeypatch.setenv("PATH", str(commands(sbatch)))
        before = sorted(tmp_path.rglob("*"))
        code = main(list(arguments))
        out, err = capfd.readouterr()
        assert (code, out) == (1, "")
        assert re.fullmatch(r"launcher: [^\n]+\n", err)
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return refusal


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("model=Qwen/Qwen3-8B", "write model.name_or_path=Qwen/Qwen3-8B"),
        ("model=./mine", "write model.name_or_path=./mine"),
        ("data=rows.jsonl", "write data.path=rows.jsonl"),
        ("llama8b_lora", "write +experiment=llama8b_lora"),
    ],
)
def test_a_value_in_the_place_of_a_files_name_is_answered_with_its_key(refusal, typed: str, said: str):
    assert said in refusal(*TINY, typed)


@pytest.mark.parametrize("plus", ["", "+"])
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bacth=3", "batch"),
        ("runs_dri=x", "runs_dir"),
        ("trainer.learning_rat=1", "trainer.learning_rate"),
        ("resources.node=2", "resources.nodes"),
        ("model.architecture.hidden_sise=2", "model.architecture.hidden_size"),
        ("cluster.container.imgae=x", "cluster.container.image"),
        ("cluster.sbatch.partitoin=x", "cluster.sbatch.partition"),
        ("plugins.lora.rr=8", "r"),
        ("plugins.sharded_checkpoint.save_step=8", "save_steps"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_nearest_one(refusal, plus: str, typed: str, meant: str):
    said = refusal(*TINY, f"{plus}{typed}")
    assert typed.partition("=")[0] in said
    assert re.search(rf"did you mean (plugins\.\w+\.)?{re.escape(meant)}\?", said)
    assert "+" not in said


def test_plan_refuses_a_misspelt_key_as_launch_does(refusal):
    assert refusal("plan", *TINY, "++resources.node=2") == refusal(*TINY, "++resources.node=2")


def test_a_key_without_its_group_is_refused_with_the_whole_key(refusal):
    assert "unknown key nodes; did you mean resources.nodes?" in refusal(*TINY, "nodes=2")


def test_a_key_unlike_any_other_is_refused_with_the_way_to_see_them_all(refusal):
    assert "--cfg job lists all keys" in refusal(*TINY, "zzz=1")


def test_an_option_of_a_plugin_that_is_not_chosen_is_refused(refusal):
    assert "plugins.qlora.r cannot be set here: choose 'plugin=[qlora]' first" in refusal(
        *TINY, "plugins.qlora.r=8"
    )


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ("resources.nodes=two", "a whole number"),
        ("resources.nodes=1.5", "a whole number"),
        ("seed=null", "a whole number"),
        ("trainer.learning_rate=fast", "a number"),
        ("model.trust_remote_code=maybe", "true or false"),
        ("resources.device=tpu", "one of auto, cuda, cpu"),
        (
            "cluster.container.runtime=docker",
            "one of none, pyxis, apptainer, singularity, charliecloud, podman_hpc",
        ),
        ("name=null", "text"),
        ("cluster.modules=cuda", "a list, such as [a,b]"),
        ("cluster.env=x", "keys with values, such as {key:value}"),
        ("cluster.env.SITE=null", "text"),
        ("batch=32", "a group of keys, such as batch.global_batch_size=..."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_rule(refusal, typed: str, rule: str):
    assert refusal(*TINY, typed) == f"launcher: {typed} must be {rule}\n"


@pytest.mark.parametrize("folder", ["/", "//", "/.", "/../."])
def test_the_root_of_the_nodes_is_not_a_cache(refusal, folder: str):
    assert f"cluster.node_cache={folder} is the root" in refusal(*TINY, f"cluster.node_cache={folder}")


@pytest.mark.parametrize("time", ["1:99:00", "1:00:60", "1-00:75"])
def test_more_than_59_minutes_or_seconds_behind_a_colon_are_refused(refusal, time: str):
    assert f"resources.time='{time}' is not a Slurm time" in refusal(*TINY, f"resources.time='{time}'")


@pytest.mark.parametrize("content", ["[]", "3", "{", '"x"'])
def test_a_config_json_that_is_not_an_object_is_not_called_missing(refusal, tmp_path: Path, content: str):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(content)
    assert "its config.json is not a JSON object" in refusal(
        *TINY, "model=smollm2_135m", "model.name_or_path=./model"
    )


@pytest.mark.parametrize("key", ["cluster.modules", "cluster.setup", "cluster.container.mounts"])
def test_an_item_of_a_list_that_is_not_a_text_is_refused(refusal, key: str):
    assert f"{key} holds {{'a': 1}}, which must be text" in refusal(*TINY, f"{key}=[{{a:1}}]")


@pytest.mark.parametrize(
    "typed", ["plugins.lora.r=eight", "plugins.lora.dropout=high", "plugins.sharded_checkpoint.requeue=1"]
)
def test_a_plugins_option_of_the_wrong_type_is_refused(refusal, typed: str):
    assert typed.partition("=")[0] in refusal(*TINY, typed)


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["+experiment=tinny"], ["tiny", "quickstart", "llama8b_lora", "llama70b_qlora"]),
        ([*TINY, "model=llama3"], ["llama3_1_8b", "llama3_1_70b", "smollm2_135m"]),
        ([*TINY, "strategy=zero4"], ["ddp", "zero1", "zero2", "zero3", "zero3_offload", "fsdp2"]),
        ([*TINY, "plugin=[loro]"], ["lora", "qlora", "gradient_checkpointing", "sharded_checkpoint"]),
        ([*TINY, "plugin=loro"], ["lora", "qlora", "gradient_checkpointing", "sharded_checkpoint"]),
        (["+experiment=tiny", "cluster=slrum"], ["allocation", "auto", "local", "slurm"]),
        ([*TINY, "tracker=wandv"], ["none", "tensorboard", "wandb"]),
    ],
)
def test_an_unknown_option_of_a_group_is_refused_with_the_known_ones(
    refusal, arguments: list[str], known: list[str]
):
    said = refusal(*arguments)
    assert f"unknown {re.split('[+=]', arguments[-1])[-2]} " in said
    assert set(known) <= set(re.findall(r"\w+", said.partition("Known:")[2]))


def test_an_experiment_without_its_plus_is_refused_with_the_plus(refusal):
    assert "must be written +experiment=NAME" in refusal("experiment=tiny")


def test_no_experiment_at_all_names_what_is_missing(refusal):
    said = refusal()
    assert "name has no value" in said
    assert "+experiment=quickstart" in said


@pytest.mark.parametrize("typed", ["foo=[", "name=a=b", "name={a", "trainer.sample_prompt=What's this"])
def test_an_override_that_hydra_cannot_read_is_refused_with_how_to_quote_it(refusal, typed: str):
    said = refusal(*TINY, typed)
    assert f"{typed} is not an override Hydra can read" in said
    assert f"'{typed.partition('=')[0]}=\"...\"'" in said


def test_a_key_without_a_value_is_refused(refusal):
    assert "write seed=VALUE" in refusal(*TINY, "seed")


def test_several_values_without_multirun_are_refused_with_both_ways_out(refusal):
    said = refusal(*TINY, "seed=1,2")
    assert "quote the value" in said
    assert "-m" in said


def test_a_refusal_stays_one_line_when_the_value_has_two(refusal):
    assert "resources.nodes=1 2 must be a whole number" in refusal(*TINY, 'resources.nodes="1\n2"')


def test_one_bad_trial_stops_the_whole_multirun(refusal):
    assert "batch.global_batch_size=3" in refusal("-m", *TINY, "batch.global_batch_size=2,4,3")


def test_a_typo_in_a_sites_own_file_is_refused_with_the_file(refusal, tmp_path: Path):
    (tmp_path / "site" / "cluster").mkdir(parents=True)
    (tmp_path / "site" / "cluster" / "here.yaml").write_text("defaults: [slurm, _self_]\ngpus_per_nod: 4\n")
    said = refusal("--config-dir", "site", "+experiment=tiny", "cluster=here")
    assert (
        "in cluster/here.yaml: unknown key cluster.gpus_per_nod; did you mean cluster.gpus_per_node?" in said
    )


def test_a_sites_own_file_that_is_not_yaml_is_refused_with_its_line(refusal, tmp_path: Path):
    (tmp_path / "site" / "cluster").mkdir(parents=True)
    (tmp_path / "site" / "cluster" / "here.yaml").write_text(
        "defaults: [slurm, _self_]\n  gpus_per_node: 4\n"
    )
    said = refusal("--config-dir", "site", "+experiment=tiny", "cluster=here")
    assert "here.yaml" in said
    assert "line 2" in said


def test_an_uneven_batch_is_refused_with_two_that_work(refusal):
    said = refusal(*TINY, "batch.global_batch_size=7", "resources.gpus_per_node=4")
    proposed = re.findall(r"\d+", said.rpartition("; use ")[2])
    assert len(set(proposed)) == 2
    codes = [
        main(["plan", *TINY, f"batch.global_batch_size={size}", "resources.gpus_per_node=4"])
        for size in proposed
    ]
    assert codes == [0, 0]


def test_more_gpus_than_a_node_has_are_refused_with_a_layout_that_fits(refusal):
    said = refusal(*TINY, "cluster.gpus_per_node=4", "resources.gpus_per_node=8")
    assert "resources.gpus_per_node=8 is more than cluster.gpus_per_node=4" in said
    assert "use resources.nodes=2 resources.gpus_per_node=4" in said


def test_an_unknown_cluster_is_refused_with_the_known_ones(refusal):
    said = refusal(*TINY, "cluster.kind=pbs")
    assert said == "launcher: cluster.kind=pbs: unknown cluster 'pbs'. Known: allocation, local, slurm.\n"


def test_two_nodes_on_one_machine_are_refused(refusal):
    assert "resources.nodes=2 needs Slurm" in refusal(
        "+experiment=tiny", "cluster=local", "resources.nodes=2"
    )


def test_slurm_without_sbatch_is_refused(refusal):
    assert "sbatch is not on PATH" in refusal(*TINY, sbatch=None)


def test_an_allocation_outside_of_one_is_refused(refusal):
    assert "is not in a job of Slurm" in refusal("+experiment=tiny", "cluster=allocation")


def test_more_nodes_than_the_allocation_has_are_refused(refusal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    said = refusal("+experiment=tiny", "cluster=allocation", "resources.nodes=4", "batch.global_batch_size=8")
    assert "resources.nodes=4 is more than the 2 of allocation 7" in said


def test_spares_are_nodes_of_the_allocation_too(refusal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    said = refusal(
        "+experiment=tiny", "cluster=allocation", "resources.nodes=2", "resources.spares=1", "batch.global_batch_size=8"
    )  # fmt: skip
    assert "resources.nodes=2 and resources.spares=1 are more than the 2 of allocation 7" in said
    assert "use resources.spares=0, or request 3 nodes" in said


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", ".", "/tmp/x", "-x", "a b", '"a\\nb"', "''", '"ünïcode"']
)
def test_a_run_name_that_could_leave_its_folder_is_refused(refusal, name: str):
    assert "is not a run name" in refusal(*TINY, f"name={name}")


@pytest.mark.parametrize(
    "key", ["cluster.sbatch.partition", "cluster.env.SITE", "cluster.setup", "cluster.modules"]
)
def test_a_newline_in_what_goes_into_a_script_is_refused(refusal, key: str):
    value = '["a\\nb"]' if key in ("cluster.setup", "cluster.modules") else '"a\\nb"'
    assert "newline" in refusal(*TINY, f"{key}={value}".replace("\\n", "\n"))


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "my_password", "AWS_SECRET_ACCESS_KEY"])
def test_a_variable_that_looks_like_a_secret_is_refused(refusal, name: str):
    assert f"cluster.env.{name} looks like a secret" in refusal(*TINY, f"cluster.env.{name}=x")


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("HF_TOKEN", "cluster.env.X"),
        ("HUGGING_FACE_HUB_TOKEN", "model.name_or_path"),
        ("WANDB_API_KEY", "tracker.project"),
        ("OPENAI_API_KEY", "cluster.sbatch.comment"),
        ("AWS_SECRET_ACCESS_KEY", "name"),
    ],
)
def test_the_value_of_a_secret_is_refused_and_not_repeated(refusal, monkeypatch, variable: str, key: str):
    monkeypatch.setenv(variable, "hf_abcdefghijklmnop")
    said = refusal(*TINY, f"{key}=hf_abcdefghijklmnop")
    assert variable in said
    assert "hf_abcdefghijklmnop" not in said


@pytest.mark.parametrize(
    ("flag", "instead"),
    [
        ("nodes", "resources.nodes"),
        ("ntasks", "resources.nodes"),
        ("gpus-per-node", "resources.gpus_per_node"),
        ("time", "resources.time"),
        ("job-name", "name"),
        ("open-mode", "runs_dir"),
        ("chdir", "runs_dir"),
        ("mem", "resources.memory_gib"),
        ("cpus-per-task", "resources.cpus_per_gpu"),
    ],
)
def test_an_sbatch_option_that_the_plan_decides_is_refused_with_the_key_to_set(
    refusal, flag: str, instead: str
):
    said = refusal(*TINY, f"cluster.sbatch.{flag}=3")
    assert f"cluster.sbatch.{flag} is decided by the plan; set {instead} instead" in said


def test_an_sbatch_option_with_its_dashes_is_refused(refusal):
    assert "without the dashes" in refusal(*TINY, "cluster.sbatch={--partition:x}")


@pytest.mark.parametrize("time", ["soon", "'4 hours'", "1:2:3:4", "-5", "''"])
def test_a_time_that_slurm_cannot_read_is_refused(refusal, time: str):
    assert "is not a Slurm time" in refusal(*TINY, f"resources.time={time}")


def test_a_rehearsal_refuses_such_a_time_too(refusal):
    assert "resources.time='2h' is not a Slurm time" in refusal("rehearse", *TINY, "resources.time=2h")


def test_a_plugin_without_a_target_is_refused(refusal):
    assert "plugins.mine has no _target_" in refusal(*TINY, "+plugins.mine.strength=3")


@pytest.mark.parametrize("target", ["no_such_package.Thing", "json.NoSuchThing"])
def test_a_plugin_that_cannot_be_imported_is_refused(refusal, target: str):
    assert f"plugins.mine._target_={target} cannot be imported" in refusal(
        *TINY, f"+plugins.mine._target_={target}"
    )


@pytest.mark.parametrize("target", ["Thing", "3"])
def test_a_plugin_that_is_no_class_is_refused(refusal, target: str):
    said = refusal(*TINY, f"+plugins.mine._target_={target}")
    assert f"plugins.mine._target_={target} does not name a class; write package.module.Class" in said


def test_a_class_that_is_not_a_plugin_is_refused(refusal):
    assert "is not a subclass of launcher.plugins.base.Plugin" in refusal(
        *TINY, "+plugins.mine._target_=json.JSONDecoder"
    )


def test_a_missing_data_file_is_refused_with_its_key(refusal, tmp_path: Path):
    said = refusal(*TINY, "data.path=train.jsonl", "data.eval_path=null")
    assert f"data.path={tmp_path}/train.jsonl is not a file" in said


def test_a_missing_data_file_is_named_before_any_other_fault(refusal):
    said = refusal(*TINY, "data.path=nope.jsonl", "batch.global_batch_size=-3", "trainer.learning_rate=0")
    assert re.search(r"data\.path=\S*nope\.jsonl is not a file", said)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[]", "a row is a list, not an object"),
        ('{"text": "x"}', "a text in a file of chats"),
        ('{"message": []}', "no format has the keys message; did you mean messages? Rename message"),
        ('{"messages": []}', "messages is an empty list"),
        ('{"messages": ["x"]}', "no assistant turn"),
        ('{"messages": [{"content": "x"}]}', "a turn has no role, but the keys content"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', "role 'robot' must be one of"),
        ('{"messages": [{"role": "user", "content": 3}]}', "the content of a user turn is int, not a string"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "no assistant turn"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(refusal, tmp_path: Path, row: str, said: str):
    (tmp_path / "train.jsonl").write_text(f"{json.dumps(ROW)}\n\n{row}\n")
    line = refusal(*TINY, "data.path=train.jsonl", "data.eval_path=null")
    assert "train.jsonl, line 3: " in line
    assert said in line


def test_a_data_file_without_rows_is_refused(refusal, tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("\n\n")
    assert "holds no rows" in refusal(*TINY, "data.path=train.jsonl", "data.eval_path=null")


def test_a_data_file_that_is_not_utf8_is_refused(refusal, tmp_path: Path):
    (tmp_path / "train.jsonl").write_bytes(json.dumps(ROW).encode() + b"\n\xff\xfe\n")
    assert "not UTF-8" in refusal(*TINY, "data.path=train.jsonl", "data.eval_path=null")


@pytest.mark.parametrize(
    "typed",
    [
        "trainer.learning_rate=0",
        "trainer.learning_rate=nan",
        "trainer.weight_decay=nan",
        "seed=-1",
        "resources.memory_gib=-1",
        "model.architecture.num_attention_heads=0",
        "trainer.learning_rate=inf",
        "trainer.max_steps=0",
        "trainer.logging_steps=0",
        "model.max_length=0",
        "resources.nodes=0",
        "plugins.lora.r=0",
        "plugins.lora.dropout=1.0",
        "plugins.sharded_checkpoint.keep_last=0",
    ],
)
def test_a_number_out_of_its_range_is_refused(refusal, typed: str):
    key, _, value = typed.partition("=")
    assert f"{key}={value}" in refusal(*TINY, typed)


def test_a_resume_from_nowhere_is_refused(refusal):
    assert "resume=nowhere is neither a folder nor a run under" in refusal(*TINY, "resume=nowhere")


@pytest.mark.parametrize(
    "arguments",
    [[], [*TINY, "bacth=3"], [*TINY, "resources.nodes=two"], [*TINY, "foo=["], [*TINY, "name=../x"]],
)
def test_the_command_itself_refuses_in_one_line_without_a_traceback(
    cli, tmp_path: Path, arguments: list[str]
):
    done = cli(*arguments, sbatch="echo 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"launcher: [^\n]+\n", done.stderr)
    assert not list(tmp_path.iterdir())
