"""trl's recipes (`trl sft --config FILE`, and the YAML files of its scripts)."""

import re
from collections.abc import Mapping
from typing import Any, cast

from launcher.config import TrainerConfig
from launcher.methods.registry import find_method
from launcher.recipes import arguments, experts, parts, sharding
from launcher.recipes.base import Draft, Fate, Step, Tool, absent, is_off, same, to

_DATA_KEYS = ("dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split")


def method(recipe: Mapping[str, Any]) -> str | None:
    """The method, derived from the keys, because trl's files do not name it."""
    if "reward_funcs" in recipe or "num_generations" in recipe:
        return "grpo"
    if "desirable_weight" in recipe or "undesirable_weight" in recipe:
        return "kto"
    if "center_rewards_coefficient" in recipe:
        return "reward"
    return "dpo" if "beta" in recipe or "max_prompt_length" in recipe else None


def finish(draft: Draft) -> None:
    """Sets the keys that come from several keys of the recipe."""
    adapters(draft)
    parts.batch(draft, "per_device_train_batch_size", "gradient_accumulation_steps")
    parts.precision(draft, *(key for key in ("dtype", "torch_dtype", "fp16", "bf16") if key in draft.recipe))
    parts.saves(draft, "save_strategy", "save_steps")
    evaluates = parts.evaluations(draft, "eval_strategy", "eval_steps")
    experts.unset_balance(draft)
    if draft.recipe.get("dataset_name") is not None:
        datasets(draft, evaluates)
    if draft.recipe.get("datasets"):
        mixture(draft, "datasets", {"datasets": draft.recipe["datasets"]}, evaluates)


def adapters(draft: Draft) -> None:
    """The adapter from use_peft; with load_in_4bit it is trained over 4-bit weights."""
    recipe = draft.recipe
    four = not is_off(recipe.get("load_in_4bit"))
    name = None if is_off(recipe.get("use_peft")) else "qlora" if four else "lora"
    parts.adapter(draft, name, ("use_peft", "load_in_4bit"), arguments.LORA)
    if not is_off(recipe.get("load_in_8bit")):
        if name == "lora":
            draft.carry("load_in_8bit", "plugins.lora.load_in", "8bit")
        else:
            draft.lost("load_in_8bit", "8-bit weights are supported only with plugins.lora")
    else:
        draft.same("load_in_8bit", "off")
    for key, option in {"bnb_4bit_quant_type": "quant_type", "use_bnb_nested_quant": "double_quant"}.items():
        if name and four and key in recipe:
            draft.carry(key, f"plugins.{name}.{option}", recipe[key])
        else:
            draft.same(key, "there are no 4-bit weights")


def datasets(draft: Draft, evaluates: bool) -> None:
    """data.path and data.eval_path from one data set of the hub and its splits."""
    recipe = draft.recipe
    name, subset = str(recipe["dataset_name"]), recipe.get("dataset_config")
    split = recipe.get("dataset_train_split", "train")
    draft.carry(
        [key for key in _DATA_KEYS[:3] if key in recipe], "data.path", parts.hub_name(name, subset, split)
    )
    if evaluates:
        test = recipe.get("dataset_test_split", "test")
        draft.carry(("dataset_test_split",), "data.eval_path", parts.hub_name(name, subset, test))
    else:
        draft.same("dataset_test_split", "no evaluation")
        draft.put("data.eval_path", None)


def mixture(draft: Draft, key: str, value: dict[str, Any], evaluates: bool) -> None:
    """data.sources from a list of data sets with weights."""
    found: list[tuple[str, float]] = []
    for one in cast("list[dict[str, Any]]", value.get("datasets", [])):
        name = str(one.get("id") or one.get("path"))
        weight = one.get("weight")
        path = parts.hub_name(name, one.get("config") or one.get("name"), one.get("split"))
        found.append((path, 1 if weight is None else weight))
        for inner in one.keys() - {"id", "path", "config", "name", "split", "weight", "columns"}:
            draft.nested(f"{key}: {inner}", Fate.absent, "rows are read as they are; data.columns maps keys")
    parts.sources(draft, (key,), found)
    held = value.get("test_split_size")
    if evaluates and isinstance(held, float) and held < 1:
        draft.put("data.eval_fraction", held)
    elif evaluates and held:
        draft.put("data.eval_fraction", 0.05, f"the recipe holds {held} rows out")
        draft.put("data.eval_max_samples", held)
        draft.nested(f"{key}: test_split_size", Fate.carried, "", "data.eval_max_samples")


def _rewards(draft: Draft, key: str, value: Any) -> None:
    """trainer.reward_functions. A name with the path of a module stays; other names are functions of the recipe's own code."""
    names = [value] if isinstance(value, str) else [str(one) for one in value]
    targets = [name if re.fullmatch(r"\w+(\.\w+)+", name) else f"my_rewards.{name}" for name in names]
    found = [{"_target_": one} for one in targets]
    if targets == names:
        draft.carry(key, "trainer.reward_functions", found)
    elif all(re.fullmatch(r"[\w.]+", one) for one in targets):
        why = f"the recipe names {', '.join(names)}; write them, or name your own functions: docs/guide/methods.md"
        draft.lost(key, why)
        draft.stand_in("trainer.reward_functions", found, why)
    else:
        draft.lost(
            key, f"{value!r} names no functions; set trainer.reward_functions=[{{_target_: MODULE.FUNCTION}}]"
        )
        draft.refuse("trainer.reward_weights", "it needs one weight for each function")


TABLE: Mapping[str, Step] = {
    **arguments.TRAINING,
    **arguments.MODEL,
    **arguments.METHODS,
    "dataset_streaming": absent("rows are read once, and their tokens are kept in cache_dir"),
    "lora_task_type": same("the method determines the task"),
    "reward_funcs": _rewards,
    "reward_weights": to("trainer.reward_weights", lambda value: [float(one) for one in value]),
    "system_prompt": absent("each row has its own system turn; write it into the data"),
    "dataset_prompt_column": lambda draft, key, value: draft.carry(
        key, "data.columns", {} if value == "prompt" else {"prompt": str(value)}
    ),
    "wandb_entity": absent("set WANDB_ENTITY in the environment"),
    **dict.fromkeys(
        (
            "callbacks",
            "benchmarks",
            "num_processes",
            "remote_gen_model_url",
            "remote_gen_model_port",
            "overwrite_hub_revision",
            "system_prompt_file",
            "e2b_router_url",
            "morph_router_url",
            "code_language",
            "code_provider",
            "parallel_code_exec_per_proc",
        ),
        absent("specific to open-r1"),
    ),
    "reward_model_name_or_path": absent(
        "functions are named by trainer.reward_functions=[{_target_: MODULE.FUNCTION}]"
    ),
    "deepspeed": sharding.deepspeed,
    "fsdp": lambda draft, key, value: sharding.fsdp(draft, key, "offload" in str(value)),
    "env": absent("cluster.env sets variables of the ranks"),
    "ignore_bias_buffers": same("buffers are equal on every rank"),
    "precompute_ref_log_probs": absent("the reference model is the base without the adapter"),
    "eos_token": to("model.eos_token", str),
    experts.BALANCE: experts.balance,
}


def defaults(method: str) -> Mapping[str, Any]:
    """trl's own defaults. Source: trl 1.16, *_config.py and trainer/model_config.py."""
    spec = find_method(method)
    supervised = method == TrainerConfig().kind
    return {
        "learning_rate": 2e-5 if supervised else 1e-4 if spec.own_head else 1e-6, "num_train_epochs": 3.0,
        "lr_scheduler_type": "linear", "warmup_steps": 0, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1,
        "save_steps": 500, "max_length": 1024, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05,
        "gradient_checkpointing": True,
        **({"assistant_only_loss": False, "packing": False} if supervised else {}),
    }  # fmt: skip


MARKS = frozenset({
    "model_name_or_path", "dataset_name", "per_device_train_batch_size", "use_peft", "output_dir", "learning_rate",
    "max_completion_length", "num_generations",
})  # fmt: skip
SPEC = Tool(
    title="trl",
    source="https://huggingface.co/docs/trl",
    marks=MARKS,
    table=TABLE,
    finish=finish,
    method=method,
    defaults=defaults,
)
