"""Settings that are one thing here and several keys in other tools: batch, adapter, data, saves, tracker."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from launcher.methods.registry import find_method
from launcher.plan.names import ADAMW, ATTENTION, BITSANDBYTES, MUON, OPTIMIZERS, SCHEDULERS
from launcher.recipes.base import Draft, Fate, Lost, is_off, misfit
from launcher.resources import resource_dir
from launcher.trackers.registry import TRACKERS

SAVES = "plugins.sharded_checkpoint"
_TORCHAO: Mapping[str, str] = dict.fromkeys(("adamw_torch_8bit", "ao_adamw_8bit"), "adamw_8bit")
"""torchao's AdamW with an 8-bit state -> that of bitsandbytes."""


def batch(draft: Draft, micro: str, accumulation: str) -> None:
    """batch.*: the other tools multiply the micro batch, the accumulation steps and the GPUs."""
    size, steps = draft.get(micro), draft.get(accumulation)
    if not _is_count(size):
        draft.lost(
            micro, f"{size!r} is not a number of sequences; batch.micro_batch_size=auto finds the largest"
        )
        draft.lost(accumulation, f"{micro} is not a number of sequences, so there is nothing to multiply")
        return
    counted = steps if _is_count(steps) else 1
    draft.carry(micro, "batch.micro_batch_size", size)
    if not _is_count(steps) and steps is not None:
        draft.lost(accumulation, f"{steps!r} is not a number of steps; 1 is used")
    draft.carry(
        accumulation if _is_count(steps) else (), "batch.global_batch_size", size * counted * draft.world,
        f"{size} per GPU x {counted} accumulation x {draft.world} GPU{'s' if draft.world > 1 else ''}",
    )  # fmt: skip
    draft.put("batch.global_batch_size", size * counted * draft.world)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def adapter(draft: Draft, plugin: str | None, switches: Iterable[str], options: Mapping[str, str]) -> None:
    """plugins.lora or plugins.qlora; None trains all weights. `options`: the other tool's key -> the plugin's option."""
    for switch in switches:
        if plugin:
            draft.carry(switch, f"plugins.{plugin}", True)
        else:
            draft.same(switch, "all weights are trained")
    if plugin:
        draft.put(f"plugins.{plugin}", True)
    for key, option in options.items():
        value = draft.get(key)
        if plugin is None:
            draft.same(key, "there is no adapter")
        elif value is not None:
            try:
                draft.carry(key, f"plugins.{plugin}.{option}", _option(option, value))
            except Lost as lost:
                draft.lost(key, str(lost))


def _option(option: str, value: Any) -> Any:
    if option == "alpha" and isinstance(value, float) and not value.is_integer():
        return value
    if option in ("r", "alpha"):
        if float(value) != int(value):
            raise Lost(f"{value} is not a whole number")
        return int(value)
    if option == "dropout":
        return float(value)
    if option in ("target_modules", "modules_to_save", "exclude_modules"):
        return _modules(option, value)
    if option == "target_parameters":
        names = [value] if isinstance(value, str) else cast("list[Any]", value)
        return [str(one) for one in names]
    return value


def _modules(option: str, value: Any) -> Any:
    names: Any = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
    if option == "target_modules" and (value is True or names in (["all"], ["all-linear"])):
        return "all-linear"
    if not isinstance(names, list) or not all(
        re.fullmatch(r"\w+", str(one)) for one in cast("list[Any]", names)
    ):
        raise Lost(f"{value!r} is a pattern, not a list of names of layers; all linear layers are adapted")
    return [str(one) for one in cast("list[Any]", names)]


def packing(draft: Draft, key: str, value: Any) -> None:
    """trainer.packing, for a method that packs."""
    if "packing" in find_method(draft.method).key_names:
        draft.carry(key, "trainer.packing", bool(value))
    else:
        draft.same(key, f"rows of trainer.kind={draft.method} are not packed")


def optimizer(value: Any) -> str:
    """The optimizer, by its name in transformers, or muon; Lost for a name that only the other tool has."""
    name = _TORCHAO.get(str(value), str(value))
    if name == MUON:
        return name
    if name not in OPTIMIZERS:
        raise Lost(f"the optimizer {name} is not one of transformers'; adamw_torch is used")
    if name not in (*ADAMW, *BITSANDBYTES):
        raise Lost(f"checkpoints do not hold the state of {name}; adamw_torch is used")
    return name


def scheduler(value: Any) -> str:
    """The schedule, by its name in transformers; Lost for a name that only the other tool has."""
    name = str(value)
    if name not in SCHEDULERS:
        raise Lost(f"the schedule {name} is not one of transformers'; cosine is used")
    return name


def attention(value: Any) -> str | None:
    """The attention kernel; Lost for a name that only the other tool has."""
    name = {"fa2": "flash_attention_2", "fa3": "flash_attention_3", "disabled": "eager", "auto": ""}.get(
        str(value), str(value)
    )
    if name and name not in ATTENTION and "/" not in name:
        raise Lost(f"the attention kernel {name} is not supported; the default of transformers is used")
    return name or None


def template(draft: Draft, key: str, name: str) -> None:
    """model.chat_template for a name that ships; for any other name the model's own template, which instruct models have."""
    shipped = sorted(path.stem for path in (resource_dir("conf") / "chat_template").glob("*.yaml"))
    if name in shipped:
        draft.carry(key, "model.chat_template", name)
    else:
        draft.absent(
            key,
            f"{name}: the model's own template is used; for a base model set model.chat_template ({', '.join(shipped)})",
        )


def precision(draft: Draft, *keys: str) -> None:
    """trainer.precision from the switches for number formats that a recipe has."""
    for key in keys:
        value = draft.recipe.get(key)
        if is_off(value):
            draft.same(key, "off")
        elif "16" in key and str(key).startswith(("fp", "float")):
            draft.lost(key, "fp16 needs loss scaling, which is not supported; bf16 is used")
        elif str(value).lower() in ("true", "auto", "bf16", "bfloat16", "torch.bfloat16"):
            draft.carry(key, "trainer.precision", "auto" if str(value) == "auto" else "bf16")
        elif str(value).lower() in ("float32", "fp32"):
            draft.carry(key, "trainer.precision", "fp32")
        else:
            draft.lost(key, f"{value!r} is not supported; trainer.precision is auto, bf16 or fp32")


def saves(draft: Draft, strategy: str, steps: str) -> None:
    """plugins.sharded_checkpoint.save_steps from a strategy (steps, epoch, no) and a number or share of steps."""
    how, number = str(draft.get(strategy) or "steps"), draft.get(steps)
    if how == "no":
        draft.carry(
            strategy,
            f"{SAVES}.save_steps",
            "auto",
            "the recipe saves only at the end; saves during training let a run survive failures",
        )
        draft.same(steps, "no save during training")
    elif how == "epoch":
        draft.carry(strategy, f"{SAVES}.save_steps", "epoch")
        draft.same(steps, "saved per epoch")
    elif how == "best":
        draft.carry(strategy, f"{SAVES}.keep_best", 1)
        draft.carry(steps, f"{SAVES}.save_steps", number)
    else:
        draft.carry([one for one in (strategy, steps) if one in draft.recipe], f"{SAVES}.save_steps", number)


def evaluations(draft: Draft, strategy: str, steps: str, switch: str = "do_eval") -> bool:
    """trainer.eval_steps from a strategy (steps, epoch, no) and a number or share of steps; True if it evaluates."""
    how = str(draft.get(strategy) or ("steps" if draft.get(steps) else "no"))
    if how in ("no", "False"):
        for key in (strategy, steps):
            draft.same(key, "no evaluation during training")
        draft.same(switch, "evaluated before and after training if there is evaluation data")
        return False
    draft.same(switch, "evaluated if there is evaluation data")
    value = "epoch" if how == "epoch" else draft.get(steps)
    if value is None:
        draft.lost(
            strategy, f"{steps} is not given, and the tool then uses logging_steps; set trainer.eval_steps"
        )
        return True
    draft.carry([one for one in (strategy, steps) if one in draft.recipe], "trainer.eval_steps", value)
    return True


def per_epoch(count: Any, epochs: Any) -> Any:
    """Saves or evaluations per epoch as our share of all steps; Lost for a value that is not a count."""
    if count == 1:
        return "epoch"
    share = 1 / (float(count) * float(epochs))
    if not 0 < share < 1:
        raise Lost(f"{count} per epoch is not a share of all steps")
    return round(share, 6)


def tracker(draft: Draft, key: str, value: Any) -> None:
    """tracker.kind: only one tracker, whereas other tools take a list."""
    names = [value] if isinstance(value, str) else [str(one) for one in cast("list[Any]", value or [])]
    names = [one for one in names if one not in ("none", "all")]
    known = [one for one in names if one in TRACKERS.own_names()]
    if not names:
        draft.same(key, "metrics.jsonl in the run dir always has the metrics")
    elif not known:
        draft.lost(key, f"{', '.join(names)}: the trackers are {', '.join(TRACKERS.own_names())}")
    else:
        others = [one for one in names if one != known[0]]
        for one in others:
            draft.nested(f"{key}: {one}", Fate.lost, "a run has one tracker; change tracker.kind for another")
        draft.carry(key, "tracker.kind", known[0])


def sources(draft: Draft, keys: Iterable[str], found: list[tuple[str, float]], comment: str = "") -> None:
    """data.path, or data.sources for several sets of rows with weights."""
    keys = [one for one in keys if one in draft.recipe]
    if len(found) == 1 and found[0][1] in (1, 1.0):
        draft.carry(keys, "data.path", found[0][0], comment)
    elif found:
        listed = [{"path": path} | ({} if weight == 1 else {"weight": weight}) for path, weight in found]
        draft.carry(keys, "data.sources", listed, comment)
        draft.put("data.path", None)
    draft.put("data.eval_path", None)


def named_elsewhere(draft: Draft, key: str, paths: list[str], where: str, ours: str = "data.path") -> None:
    """Sets placeholders for data sets that the recipe names, if the file that maps these names to paths is missing."""
    names = draft.recipe[key]
    draft.lost(
        key, f"{names}: names in {where}, which is not in the recipe's folder; give the paths of the files"
    )
    why = f"the recipe names {names}; give the path of each file"
    if len(paths) > 1:
        draft.stand_in("data.sources", [{"path": one} for one in paths], why)
        draft.put("data.path", None)
    else:
        draft.stand_in(ours, paths[0], why)
    draft.put("data.eval_path", None)


def hub_name(name: str, subset: Any = None, split: Any = None) -> str:
    """hub:NAME for a data set of the hub; the path of a file stays unchanged."""
    if re.search(r"\.(jsonl?|csv|tsv|txt|parquet)$", name) or name.startswith(("/", "./", "~", "s3:", "gs:")):
        return name
    inner = f"/{subset}" if subset and subset != "default" else ""
    return f"hub:{name}{inner}" + (f":{split}" if split and split != "train" else "")


def held_out(draft: Draft, key: str) -> None:
    """data.eval_fraction from a share; from a number of rows data.eval_max_samples, with 5 % of the rows held out."""
    value = draft.get(key)
    if is_off(value):
        draft.same(key, "nothing is held out")
    elif isinstance(value, float) and 0 < value < 1:
        draft.carry(key, "data.eval_fraction", value)
    elif misfit("data.eval_fraction", 0.05):
        draft.lost(key, misfit("data.eval_fraction", 0.05))
    else:
        draft.carry(key, "data.eval_max_samples", value)
        draft.put(
            "data.eval_fraction",
            0.05,
            f"the recipe holds {value} rows out; raise the share if 5 % are fewer rows",
        )
