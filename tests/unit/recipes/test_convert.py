"""Public recipes of other tools become configurations that compose and plan, and no key of them is lost silently."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.__main__ import main
from launcher.errors import LauncherError
from launcher.launching.compose import compose
from launcher.launching.planning import prepare
from launcher.methods.registry import find_method
from launcher.recipes.base import Fate
from launcher.recipes.convert import ConversionRequest, RecipeConversion, convert
from launcher.recipes.registry import TOOLS
from tests.support.paths import ROOT

FIXTURES = ROOT / "tests" / "unit" / "recipes" / "fixtures"
ROWS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]},
    "pair": {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    "labelled": {"prompt": "Why?", "completion": "Because.", "label": True},
    "prompt": {"prompt": "Why?"},
    "text": {"text": "Rain fell on the sea."},
}


def files(tool: str) -> list[Path]:
    return sorted((FIXTURES / tool).rglob("*.yaml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "my_rewards.py").write_text(
        "def score(**kwargs):\n    return []\n\n\ndef __getattr__(name):\n    return score\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def plan(converted: RecipeConversion, folder: Path) -> None:
    """Composes and plans what was written; the names of local files get rows that the method learns from."""
    (folder / "x.yaml").write_text(converted.text)
    if converted.template is not None:
        (folder / "x.jinja").write_text(converted.template)
    written = yaml.safe_load(converted.text)["data"]
    row = json.dumps(ROWS[find_method(converted.method).learns_from[0]])
    for path in [
        written.get("path"),
        written.get("eval_path"),
        *(one["path"] for one in written.get("sources", [])),
    ]:
        if path and not path.startswith("hub:"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(f"{row}\n" * 200)
    composed = compose(["--config", "x.yaml", "cluster=slurm"])[0]
    prepare(composed, datetime(2026, 1, 1))


@pytest.mark.parametrize("tool", TOOLS.own_names())
def test_public_recipes_are_recognised_carried_over_and_planned(folder, capsys, tool: str):
    counts: Counter[Fate] = Counter()
    assert len(files(tool)) >= 10
    for file in files(tool):
        converted = convert(ConversionRequest(file=file), Path("x.yaml"))
        assert (
            converted.tool.marks >= TOOLS.find(tool).marks or converted.tool.marks < TOOLS.find(tool).marks
        ), file
        recipe = yaml.safe_load(file.read_text())
        assert recipe.keys() <= {one.key for one in converted.outcomes}, file
        assert all(one.why or one.ours for one in converted.outcomes), file
        counts.update(one.fate for one in converted.outcomes)
        plan(converted, folder)
    kept = counts[Fate.carried] + counts[Fate.same]
    share = kept / (kept + counts[Fate.lost] + counts[Fate.unknown])
    with capsys.disabled():
        print(
            f"\n{tool}: {len(files(tool))} recipes, {share:.1%} of {counts.total() - counts[Fate.absent]} keys"
        )
    assert share >= 0.95


SFT = {
    "model_name_or_path": "org/model",
    "dataset_name": "org/rows",
    "use_peft": True,
    "lora_r": 8,
    "output_dir": "x",
}
ZERO = {
    "compute_environment": "LOCAL_MACHINE", "distributed_type": "DEEPSPEED", "mixed_precision": "bf16", "num_machines": 2,
    "num_processes": 16, 
    "deepspeed_config": {"zero_stage": 3, "offload_optimizer_device": "cpu", "offload_param_device": "none"},
}  # fmt: skip
FSDP = {
    "distributed_type": "FSDP",
    "num_processes": 4,
    "fsdp_config": {"fsdp_version": 2, "fsdp_offload_params": True},
}
JSON = {"zero_optimization": {"stage": 2}, "gradient_clipping": "auto", "train_batch_size": "auto"}


@pytest.mark.parametrize(
    ("flag", "name", "beside", "expected"),
    [
        ("--accelerate", "a.yaml", ZERO, {"engine": "deepspeed", "zero_stage": 3, "offload_optimizer": True}),
        ("--accelerate", "a.yaml", FSDP, {"engine": "fsdp2", "offload_param": True}),
        ("--deepspeed", "d.json", JSON, {"engine": "deepspeed", "zero_stage": 2}),
    ],
)
def test_what_lies_beside_a_recipe_gives_the_strategy_and_the_gpus(
    folder, capsys, flag, name, beside, expected
):
    (folder / "sft.yaml").write_text(yaml.safe_dump(SFT))
    (folder / name).write_text(json.dumps(beside))
    assert main(["convert-recipe", "sft.yaml", flag, name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["unknown"] == told["counts"]["lost"] == 0
    written = yaml.safe_load(Path("my_run.yaml").read_text())
    assert written["strategy"] == expected
    world = beside.get("num_processes", 1)
    assert written["resources"]["nodes"] * written["resources"]["gpus_per_node"] == world
    assert written["batch"]["global_batch_size"] == 8 * world
    assert compose(["--config", "my_run.yaml"])[0].config.plugins["lora"]["r"] == 8


@pytest.mark.parametrize(
    ("recipe", "packs"),
    [
        (SFT, False),
        ({**SFT, "packing": True}, True),
        (
            {"stage": "sft", "finetuning_type": "lora", "model_name_or_path": "a/b", "template": "llama3"},
            False,
        ),
        ({"stage": "pt", "finetuning_type": "lora", "model_name_or_path": "a/b", "template": "llama3"}, True),
        ({"base_model": "a/b", "sequence_len": 512, "micro_batch_size": 1}, False),
        ({"base_model": "a/b", "sequence_len": 512, "micro_batch_size": 1, "sample_packing": True}, True),
    ],
)
def test_rows_are_packed_where_the_other_tool_packs_them(folder, recipe: dict[str, Any], packs: bool):
    (folder / "r.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["convert-recipe", "r.yaml"]) == 0
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.packing is packs


def test_a_key_is_carried_or_the_reason_is_reported(folder, capsys):
    recipe = {
        **SFT,
        "bf16": True,
        "optim": "adafactor",
        "push_to_hub": True,
        "no_such_key": 3,
        "seed": None,
        "lora_r": 7.5,
    }
    (folder / "sft.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["convert-recipe", "sft.yaml", "--gpus", "4", "-o", "out.yaml", "--json"]) == 0
    told = {one["key"]: one for one in json.loads(capsys.readouterr().out)["keys"]}
    fates = {key: one["fate"] for key, one in told.items()}
    assert fates["bf16"] == fates["dataset_name"] == "carried"
    assert (fates["optim"], fates["lora_r"], fates["push_to_hub"]) == ("lost", "lost", "absent")
    assert (fates["no_such_key"], fates["seed"]) == ("unknown", "same")
    text = Path("out.yaml").read_text()
    assert all(f"#   {key}: " in text for key in ("optim", "lora_r", "push_to_hub", "no_such_key"))
    assert main(["convert-recipe", "sft.yaml", "-o", "out.yaml"]) == 2
    assert Path("out.yaml").read_text() == text


def test_fields_of_upstream_are_passed_on_and_those_that_the_launcher_sets_are_reported(folder, capsys):
    recipe = {**SFT, "eval_delay": 10, "tf32": True, "full_determinism": "yes", "dataloader_drop_last": True}
    (folder / "sft.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["convert-recipe", "sft.yaml", "--json"]) == 0
    told = {one["key"]: one for one in json.loads(capsys.readouterr().out)["keys"]}
    assert yaml.safe_load(Path("my_run.yaml").read_text())["trainer"]["args"] == {
        "eval_delay": 10,
        "tf32": True,
    }
    assert told["eval_delay"]["ours"] == "trainer.args.eval_delay"
    assert told["full_determinism"]["why"] == "trainer.args.full_determinism cannot be 'yes'"
    assert (told["dataloader_drop_last"]["fate"], told["dataloader_drop_last"]["why"]) == (
        "absent", "every step has a full batch",
    )  # fmt: skip
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.args["eval_delay"] == 10


def told_of(
    folder: Path, capsys: pytest.CaptureFixture[str], recipe: dict[str, Any], *words: str
) -> dict[str, Any]:
    (folder / "r.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["convert-recipe", "r.yaml", *words, "--json"]) == 0
    return {one["key"]: one for one in json.loads(capsys.readouterr().out)["keys"]}


AXOLOTL = {"base_model": "a/b", "sequence_len": 512, "micro_batch_size": 2, "sample_packing": True}


def test_shared_sequences_and_copies_of_the_weights_are_carried_over(folder, capsys):
    recipe = {
        **AXOLOTL,
        "context_parallel_size": 2,
        "dp_shard_size": 2,
        "tensor_parallel_size": 1,
        "gradient_accumulation_steps": 4,
    }
    told = told_of(folder, capsys, recipe, "--gpus", "4")
    assert told["context_parallel_size"]["ours"] == "strategy.sequence_parallel_size"
    assert told["dp_shard_size"]["fate"] == told["tensor_parallel_size"]["fate"] == "same"
    written = compose(["--config", "my_run.yaml"])[0].config
    assert (written.strategy.sequence_parallel_size, written.batch.global_batch_size) == (2, 2 * 4 * 2)
    Path("my_run.yaml").unlink()
    hybrid = {**AXOLOTL, "fsdp": ["full_shard"], "dp_replicate_size": 2}
    assert (
        told_of(folder, capsys, hybrid, "--gpus", "4", "--nodes", "2")["dp_replicate_size"]["fate"]
        == "carried"
    )
    assert compose(["--config", "my_run.yaml"])[0].config.strategy.dp_replicate_size == 2
    Path("my_run.yaml").unlink()
    assert "--gpus" in told_of(folder, capsys, recipe)["context_parallel_size"]["why"]


FACTORY = {
    "stage": "sft",
    "model_name_or_path": "a/b",
    "finetuning_type": "full",
    "template": "qwen",
    "cutoff_len": 512,
}


@pytest.mark.parametrize(
    "recipe", [{**AXOLOTL, "optimizer": "muon"}, {**FACTORY, "use_muon": True}, {**SFT, "optim": "muon"}]
)
def test_muon_is_carried_over_but_not_under_zero(folder, capsys, recipe):
    key = next(one for one in ("optimizer", "use_muon", "optim") if one in recipe)
    assert told_of(folder, capsys, recipe)[key]["ours"] == "trainer.optim"
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.optim == "muon"
    Path("my_run.yaml").unlink()
    told = told_of(folder, capsys, {**recipe, "deepspeed": "ds_z3_config.json"})[key]
    assert told["fate"] == "lost" and "strategy=fsdp2 or ddp" in told["why"]


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        (
            {**AXOLOTL, "model_config": {"output_router_logits": True, "router_aux_loss_coef": 0.02}},
            "model_config",
        ),
        ({**FACTORY, "moe_aux_loss_coef": 0.02}, "moe_aux_loss_coef"),
        ({**SFT, "router_aux_loss_coef": 0.02}, "router_aux_loss_coef"),
    ],
)
def test_the_weight_of_a_load_balancing_loss_is_carried_over(folder, capsys, recipe, key):
    assert told_of(folder, capsys, recipe)[key]["ours"] == "trainer.router_aux_loss_coef"
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.router_aux_loss_coef == 0.02


def test_a_weight_of_a_load_balancing_loss_that_is_elsewhere_is_reported(folder, capsys):
    told = told_of(folder, capsys, {**AXOLOTL, "model_config": {"output_router_logits": True}})[
        "model_config"
    ]
    assert told["fate"] == "lost" and "in config.json; set trainer.router_aux_loss_coef" in told["why"]
    Path("my_run.yaml").unlink()
    told = told_of(folder, capsys, {**SFT, "model_name_or_path": "Qwen/Qwen3-30B-A3B"})[
        "router_aux_loss_coef"
    ]
    assert told["fate"] == "absent" and "trl takes the weight in config.json" in told["why"]
    Path("my_run.yaml").unlink()
    told = told_of(folder, capsys, {**FACTORY, "stage": "dpo", "moe_aux_loss_coef": 0.02})[
        "moe_aux_loss_coef"
    ]
    assert told["ours"] == "trainer.args.router_aux_loss_coef"


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({"tiled_mlp_num_shards": 4}, 256),
        ({"base_model": "Qwen/Qwen3-8B"}, 4096),
        ({"base_model": "HuggingFaceTB/SmolLM2-135M"}, 576),
        ({"tiled_mlp": False}, None),
        ({"base_model": "Qwen/Qwen3-30B-A3B"}, None),
        ({"deepspeed": "zero3.json"}, None),
    ],
)
def test_mlps_in_tiles_are_carried_over_where_they_can_be(folder, capsys, more, tokens):
    told = told_of(folder, capsys, {**AXOLOTL, "tiled_mlp": True, **more})["tiled_mlp"]
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.mlp_tile_tokens == tokens
    assert told["fate"] == ("carried" if tokens else "same" if "tiled_mlp" in more else "lost")


def test_accelerates_degrees_are_carried_over(folder, capsys):
    degrees = {f"parallelism_config_{name}_size": 2 for name in ("sp", "dp_shard")}
    (folder / "a.yaml").write_text(
        json.dumps({**ZERO, "num_machines": 1, "num_processes": 4, "parallelism_config": degrees})
    )
    told = told_of(folder, capsys, SFT, "--accelerate", "a.yaml")
    assert told["a.yaml: parallelism_config.parallelism_config_sp_size"]["fate"] == "carried"
    written = compose(["--config", "my_run.yaml"])[0].config
    assert (written.strategy.sequence_parallel_size, written.batch.global_batch_size) == (2, 16)


def test_speakers_and_an_8_bit_optimizer_are_carried_over_and_a_best_checkpoint_needs_an_evaluation(
    folder, capsys
):
    sets = [
        {
            "path": "x.jsonl",
            "type": "chat_template",
            "roles": {"user": ["human", "Kunde"], "assistant": ["gpt"]},
        }
    ]
    recipe = {
        **AXOLOTL,
        "datasets": sets,
        "optimizer": "adamw_torch_8bit",
        "save_strategy": "best",
        "save_steps": 100,
    }
    told = told_of(folder, capsys, recipe)
    assert told["datasets[0].roles"]["ours"] == "data.roles"
    written = yaml.safe_load(Path("my_run.yaml").read_text())
    assert (written["data"]["roles"], written["trainer"]["optim"]) == ({"Kunde": "user"}, "adamw_8bit")
    assert "keep_best" not in written["plugins"]["sharded_checkpoint"]
    assert told["save_strategy"]["fate"] == "lost"


FACTORY = {
    "stage": "sft",
    "finetuning_type": "lora",
    "model_name_or_path": "a/b",
    "template": "llama3",
    "dataset": "mine,yours",
}
INFO = {"mine": {"file_name": "m.json"}, "yours": {"hf_hub_url": "org/rows", "split": "train"}}


GRPO = {
    "model_name_or_path": "a/b", "dataset_name": "c/d", "num_generations": 7, "max_completion_length": 64, "output_dir": "x",
    "per_device_train_batch_size": 7, "per_device_eval_batch_size": 32, "eval_strategy": "steps", "eval_steps": 10,
    "reward_funcs": ["accuracy", "my_rewards.length"], "reward_weights": [1, 0.5], "dataset_prompt_column": "problem",
    "use_vllm": True, "vllm_device": "auto", "system_prompt": "Be brief.",
}  # fmt: skip


def test_a_recipe_with_rewards_names_functions_that_stand_for_its_own(folder, capsys):
    (folder / "g.yaml").write_text(yaml.safe_dump(GRPO))
    assert main(["convert-recipe", "g.yaml", "--tool", "trl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["stand_ins"]) == ["trainer.reward_functions"] and told["counts"]["unknown"] == 0
    written = yaml.safe_load(Path("my_run.yaml").read_text())
    targets = [one["_target_"] for one in written["trainer"]["reward_functions"]]
    assert targets == ["my_rewards.accuracy", "my_rewards.length"]
    assert written["trainer"]["reward_weights"] == [1.0, 0.5]
    assert written["data"]["columns"] == {"prompt": "problem"}
    assert written["batch"]["eval_micro_batch_size"] == 35  # whole groups of 7 answers
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.kind == "grpo"


@pytest.mark.parametrize(("sharded", "fate"), [(False, "carried"), (True, "lost")])
def test_a_base_in_8_bits_is_carried_where_nothing_shards_it(folder, capsys, sharded: bool, fate: str):
    recipe = {**SFT, "load_in_8bit": True, "lora_alpha": 7.5, "lora_target_parameters": ["experts.down_proj"]}
    (folder / "s.yaml").write_text(yaml.safe_dump({**recipe, **({"fsdp": "full_shard"} if sharded else {})}))
    assert main(["convert-recipe", "s.yaml", "--json"]) == 0
    told = {one["key"]: one for one in json.loads(capsys.readouterr().out)["keys"]}
    assert told["load_in_8bit"]["fate"] == fate
    lora = yaml.safe_load(Path("my_run.yaml").read_text())["plugins"]["lora"]
    assert (lora["alpha"], lora["target_parameters"]) == (7.5, ["experts.down_proj"])


def test_values_that_the_recipe_does_not_give_are_reported_and_come_first_in_the_file(folder, capsys):
    (folder / "f.yaml").write_text(yaml.safe_dump(FACTORY))
    assert main(["convert-recipe", "f.yaml", "-o", "a.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["stand_ins"]) == ["data.sources"]
    assert next(one["fate"] for one in told["keys"] if one["key"] == "dataset") == "lost"
    head = Path("a.yaml").read_text()[:400]
    assert (
        "Correct these first:" in head and "the recipe names mine,yours; give the path of each file" in head
    )
    (folder / "t.yaml").write_text(
        yaml.safe_dump({key: value for key, value in SFT.items() if key != "dataset_name"})
    )
    assert main(["convert-recipe", "t.yaml", "-o", "b.yaml"]) == 0
    said = capsys.readouterr().out
    assert "set these values before the launch" in said and "the recipe names no data" in said


@pytest.mark.parametrize(
    ("at", "first"), [("dataset_info.json", "m.json"), ("data/dataset_info.json", "data/m.json")]
)
def test_names_of_data_are_looked_up_beside_the_recipe_and_in_its_folder_of_data(
    folder, capsys, at: str, first: str
):
    (folder / "data").mkdir()
    (folder / at).write_text(json.dumps(INFO))
    (folder / "f.yaml").write_text(yaml.safe_dump(FACTORY))
    assert main(["convert-recipe", "f.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stand_ins"] == {} and told["counts"]["lost"] == 0
    written = yaml.safe_load(Path("my_run.yaml").read_text())["data"]["sources"]
    assert [one["path"] for one in written] == [first, "hub:org/rows"]


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (None, [], "r.yaml cannot be read"),
        ("", [], "r.yaml holds no key; give the file that the other tool reads"),
        ("# learning_rate: 1\n---\n", [], "r.yaml holds no key; give the file that the other tool reads"),
        ("- a\n", [], "r.yaml:1: a configuration is lines of the form key: value"),
        ("a: [\n", [], "r.yaml:2: not YAML"),
        ("a: 1\na: 2\n", [], "r.yaml:2: a is given twice"),
        ("lr: 1\n", [], "are not those of a recipe of alignment-handbook, axolotl, LLaMA-Factory, trl"),
        ("compute_environment: x\n", [], "name the recipe, and add --accelerate r.yaml"),
        ("zero_optimization: {stage: 1}\n", [], "name the recipe, and add --deepspeed r.yaml"),
        ("extends: tiny\n", [], "is already a configuration of this launcher; type --config r.yaml"),
        ("stage: ppo\nfinetuning_type: lora\nmodel_name_or_path: a/b\n", [], "its method ppo is not one of"),
        ("stage: sft\nfinetuning_type: lora\n", [], "names no model"),
        ("a: 1\n", ["--tool", "axolot"], "did you mean axolotl?"),
        ("a: 1\n", ["--method", "dqo", "--tool", "trl"], "its method dqo is not one of"),
        ("stage: sft\ncutoff_len: 8\nmodel_name_or_path: a/b\n", ["--accelerate", "no.yaml"], "no.yaml cannot be read"),
        ("a: !!int x\n", [], "not YAML"),
        ("model_name_or_path: a/b\ntemplate: qwen\nexport_dir: out\n", [], "python -m launcher export RUN --merged --to out"),
        ("model_name_or_path: a/b\ntemplate: qwen\ninfer_backend: vllm\n", [], "python -m launcher chat RUN"),
        ("model: a/b\ncutoff_len: 8\noutput_dir: x\n", [], "LLaMA-Factory's v1"),
    ],
)  # fmt: skip
def test_an_invalid_recipe_is_refused_in_one_line(
    folder, capsys, text: str | None, words: list[str], said: str
):
    if text is not None:
        (folder / "r.yaml").write_text(text)
    assert main(["convert-recipe", "r.yaml", *words]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (folder / "my_run.yaml").exists()


WRONG = {
    "learning_rate": [-1, 0, ".nan", ".inf"],
    "weight_decay": [-0.1, ".nan"],
    "warmup_steps": [-3, ".nan"],
    "max_grad_norm": [-1, "-.inf"],
    "adam_beta1": [-1, 1, ".nan"],
    "adam_epsilon": [-1e-8],
    "num_train_epochs": [-2, 0, ".nan"],
    "max_steps": [-7],
    "logging_steps": [-1],
    "seed": [-1],
    "max_length": [-1, 0],
    "dataloader_num_workers": [-2],
    "per_device_train_batch_size": [-4, 0, ".nan", True],
    "gradient_accumulation_steps": [-2, 0],
    "lora_alpha": [-16, ".nan"],
    "lora_dropout": [-0.1, 1, ".nan"],
    "lr_scheduler_kwargs": ["{min_lr: .nan}"],
    "neftune_noise_alpha": [-5, ".nan"],
    "datasets": ["[{path: a/b, weight: -1}, {path: c/d}]"],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values]
)
def test_a_value_that_no_launch_takes_is_named_and_left_out(folder, capsys, key: str, value: object):
    recipe = {one: given for one, given in SFT.items() if one != "dataset_name" or key != "datasets"}
    text = yaml.safe_dump({**recipe, "bf16": True})
    (folder / "r.yaml").write_text(f"{text}{key}: {str(value).lower() if value is True else value}\n")
    assert main(["convert-recipe", "r.yaml", "--json"]) == 0
    told = {one["key"]: one for one in json.loads(capsys.readouterr().out)["keys"]}
    assert told[key]["fate"] == "lost" and told[key]["why"]
    assert told["model_name_or_path"]["fate"] == told["bf16"]["fate"] == "carried"
    assert f"#   {key}: " in Path("my_run.yaml").read_text()
    (folder / "train.jsonl").write_text(json.dumps(ROWS["chat"]))
    prepare(compose(["--config", "my_run.yaml", "cluster=slurm"])[0], datetime(2026, 1, 1))


def test_every_value_that_no_launch_takes_is_named_at_once(folder, capsys):
    wrong = {"learning_rate": -1, "max_length": -1, "logging_steps": -3, "seed": -7, "num_train_epochs": -1}
    told = told_of(folder, capsys, {**SFT, **wrong, "weight_decay": 0.1})
    assert {key for key, one in told.items() if one["fate"] == "lost"} == {*wrong}
    assert yaml.safe_load(Path("my_run.yaml").read_text())["trainer"]["weight_decay"] == 0.1


@pytest.mark.parametrize("value", [[], "x", 1e40, True, {"a": 1}])
@pytest.mark.parametrize("tool", TOOLS.own_names())
def test_no_value_of_any_known_key_ends_in_a_traceback(folder, tool: str, value: Any):
    spec = TOOLS.find(tool)
    base = {"model_name_or_path": "a/b", "base_model": "a/b"}
    for keys in (
        list(spec.table),
        [*spec.marks, "adapter", "use_peft", "load_in_4bit", "eval_strategy", "save_strategy"],
    ):
        recipe = {**dict.fromkeys(keys, value), **base}
        (folder / "r.yaml").write_text(yaml.safe_dump(recipe))
        try:
            convert(ConversionRequest(file=folder / "r.yaml", tool=tool, method="sft"), Path("x.yaml"))
        except LauncherError as refused:
            assert "\n" not in str(refused)
