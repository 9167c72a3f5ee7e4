"""axolotl's recipes (`axolotl train FILE`)."""

from collections.abc import Mapping
from typing import Any, cast

from launcher.recipes import arguments, experts, parts, sharding
from launcher.recipes.axolotl_keys import OWN_KEYS
from launcher.recipes.axolotl_rows import data_sets
from launcher.recipes.base import Draft, Lost, Tool, is_off
from launcher.recipes.parts import SAVES


def _method(recipe: Mapping[str, Any]) -> str | None:
    if not is_off(recipe.get("rl")):
        return "dpo" if recipe["rl"] == "ipo" else str(recipe["rl"])
    if not is_off(recipe.get("reward_model")):
        return "reward"
    return "pretrain" if recipe.get("pretraining_dataset") else "sft"


def _finish(draft: Draft) -> None:
    recipe = draft.recipe
    draft.same("rl", f"trainer.kind={draft.method}")
    draft.same("reward_model", f"trainer.kind={draft.method}")
    if recipe.get("rl") == "ipo":
        draft.carry("rl", "trainer.loss_type", "ipo")
    _adapter(draft)
    parts.batch(draft, "micro_batch_size", "gradient_accumulation_steps")
    parts.precision(
        draft, *(key for key in ("torch_dtype", "fp16", "float16", "bfloat16", "bf16") if key in recipe)
    )
    data_sets(draft)
    _saves(draft)
    _evaluations(draft)
    _schedule(draft)
    experts.tiles(draft)
    _strategy(draft)
    if recipe.get("wandb_project") and "trainer" not in recipe:
        draft.carry("wandb_project", "tracker.project", str(recipe["wandb_project"]))
        draft.put("tracker.kind", "wandb")
    if not is_off(recipe.get("flash_attention")):
        draft.carry("flash_attention", "model.attn_implementation", "flash_attention_2")


def _adapter(draft: Draft) -> None:
    recipe = draft.recipe
    kind = recipe.get("adapter")
    four = not is_off(recipe.get("load_in_4bit"))
    name = None if is_off(kind) else "qlora" if kind == "qlora" or four else "lora"
    parts.adapter(draft, name, ("adapter", "load_in_4bit"), {
        **arguments.LORA, "peft_use_rslora": "use_rslora", "peft_use_dora": "use_dora",
    })  # fmt: skip
    if not is_off(recipe.get("load_in_8bit")):
        if name is None:
            draft.same("load_in_8bit", "all weights are trained, in bf16")
        else:
            draft.carry("load_in_8bit", f"plugins.{name}.load_in", "8bit")
    linear = recipe.get("lora_target_linear")
    if name and not is_off(linear):
        draft.carry("lora_target_linear", f"plugins.{name}.target_modules", "all-linear")
    else:
        draft.same("lora_target_linear", "off")


def _saves(draft: Draft) -> None:
    count = draft.recipe.get("saves_per_epoch")
    if is_off(count):
        draft.same("saves_per_epoch", "saved by steps")
        if draft.recipe.get("save_steps") is not None or draft.recipe.get("save_strategy"):
            parts.saves(draft, "save_strategy", "save_steps")
        return
    _per_epoch(draft, "saves_per_epoch", count, f"{SAVES}.save_steps")
    draft.same("save_strategy", "saved per epoch")


def _evaluations(draft: Draft) -> None:
    count = draft.recipe.get("evals_per_epoch")
    has_rows = "data.eval_fraction" in draft.entries or draft.recipe.get("test_datasets")
    if not is_off(count) and has_rows:
        _per_epoch(draft, "evals_per_epoch", count, "trainer.eval_steps")
    else:
        draft.same("evals_per_epoch", "there is no evaluation data")
        for strategy in ("eval_strategy", "evaluation_strategy"):
            if strategy in draft.recipe:
                parts.evaluations(draft, strategy, "eval_steps")
                return
        if draft.recipe.get("eval_steps"):
            parts.evaluations(draft, "eval_strategy", "eval_steps")


def _per_epoch(draft: Draft, key: str, count: Any, ours: str) -> None:
    epochs = draft.get("num_epochs") or 1
    try:
        value = parts.per_epoch(count, epochs)
    except (Lost, ValueError, TypeError) as lost:
        draft.lost(key, str(lost))
        return
    draft.carry(
        key, ours, value, "" if value == "epoch" else f"{count} per epoch of {epochs}: a share of all steps"
    )


def _schedule(draft: Draft) -> None:
    ratio: Any = draft.recipe.get("cosine_min_lr_ratio")
    if not is_off(ratio) and str(draft.get("lr_scheduler")) == "cosine":
        draft.carry(
            ("lr_scheduler", "cosine_min_lr_ratio"), "trainer.lr_scheduler_type", "cosine_with_min_lr"
        )
        draft.put("trainer.lr_scheduler_kwargs.min_lr_rate", float(ratio))


def _strategy(draft: Draft) -> None:
    recipe = draft.recipe
    if not is_off(recipe.get("deepspeed")):
        sharding.deepspeed(draft, "deepspeed", recipe["deepspeed"])
    config = cast("dict[str, Any]", recipe.get("fsdp_config") or {})
    for key in ("fsdp", "fsdp_config"):
        if not is_off(recipe.get(key)):
            sharding.fsdp(draft, key, config.get("offload_params", config.get("fsdp_offload_params")))
    draft.same("fsdp_version", "fsdp2 is the second version")


SPEC = Tool(
    title="axolotl",
    source="https://docs.axolotl.ai, config reference",
    marks=frozenset({
        "base_model", "sequence_len", "micro_batch_size", "num_epochs", "lr_scheduler", "sample_packing", "val_set_size",
        "datasets", "adapter",
    }),
    table={**arguments.TRAINING, **arguments.MODEL, **OWN_KEYS},
    finish=_finish,
    method=_method,
    defaults=lambda method: {
        "num_epochs": 1.0, "warmup_ratio": 0.03, "gradient_accumulation_steps": 1, "micro_batch_size": 1,
        "gradient_checkpointing": False, "sample_packing": False,
    },
)  # fmt: skip
