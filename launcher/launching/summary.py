"""A plan in a few lines for a person, and what both a person and a machine are told with."""

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from launcher.plan import LaunchPlan
from launcher.plan.objective import NEXT_TOKEN
from launcher.plan.save import SavePlan
from launcher.plan.shutdown import fits_kill_wait, needs_s
from launcher.run import RunDir
from launcher.units import plural


def describe(run: RunDir, plan: LaunchPlan, summary: dict[str, Any]) -> str:
    """What was decided and what to type next."""
    lines = [
        ("run", f"{run.name}" + (f"  (experiment {plan.experiment})" if plan.experiment else "")),
        ("run dir", str(run.path)),
        *plan_lines(plan),
    ]
    job_id = summary["job_id"]
    if job_id:
        lines.append(("job", job_id))
    if summary["dry_run"]:
        lines += [("dry run", "nothing was submitted"), ("submit with", str(summary["command"]))]
    elif job_id:
        lines += [
            ("next", f"python -m launcher status {run.name}"),
            ("", f"python -m launcher follow {run.name}"),
            ("", f"python -m launcher cancel {run.name}"),
        ]
    return align(lines)


def plan_lines(plan: LaunchPlan) -> list[tuple[str, str]]:
    """The decisions, as (label, text)."""
    topology, batch, model = plan.topology, plan.batch, plan.model
    unit = "GPU" if plan.device == "cuda" else "CPU rank"
    layout = f"{plural(topology.nodes, 'node')} x {plural(topology.gpus_per_node, unit)}"
    counts = ""
    if model.parameters and model.trainable_parameters is not None:
        share = 100 * model.trainable_parameters / model.parameters
        counts = f"  {model.parameters:,} parameters, {model.trainable_parameters:,} trained ({share:.3g} %)"
    return [
        ("cluster", f"{plan.cluster}: {layout}"),
        ("strategy", f"{plan.strategy.name}, {plan.precision}"),
        *([] if plan.trainer == "sft" else [("trainer", plan.trainer)]),
        (
            "batch",
            f"{batch.global_batch_size} {_UNITS.get(plan.trainer, 'sequences')} a step = {batch.micro_batch_size} micro x "
            f"{batch.gradient_accumulation_steps} accumulation x {plural(topology.world_size, 'rank')}",
        ),
        ("model", f"{model.name_or_path}{counts}"),
        ("data", ", ".join(plan.facts.data_sources or (plan.facts.data_path,))),
        *([("saves", saves(plan.save))] if plan.save else []),
        *([("", too_late)] if (too_late := cannot_leave(plan)) else []),
        *_memory(plan),
        *([("chosen", plan.chosen)] if plan.chosen else []),
    ]


def _memory(plan: LaunchPlan) -> list[tuple[str, str]]:
    if plan.memory:
        return [("memory", f"{plan.memory.total:.1f} GiB a GPU, estimated")]
    if plan.device == "cuda" and plan.trainer not in NEXT_TOKEN:
        return [("memory", f"not estimated for trainer.kind={plan.trainer}: {_WHY_NOT[plan.trainer]}")]
    return []


_UNITS = {"dpo": "pairs", "orpo": "pairs", "reward": "pairs", "kto": "answers", "grpo": "answers"}
"""What a sequence of the batch is called."""
_WHY_NOT = {
    "dpo": "both answers of a pair are in the batch, and a full fine-tune has a second model",
    "kto": "it makes two more forward passes, and a full fine-tune has a second model",
    "orpo": "both answers of a pair are in the batch, with their logits",
    "reward": "both answers of a pair are in the batch",
    "grpo": "answers are drawn beside the training",
}


def leave_dict(plan: LaunchPlan) -> dict[str, float | bool] | None:
    """needs_s from being told to end until all is saved, given_s by the place, and whether that fits; None without saves."""
    if plan.save is None:
        return None
    needs = float(f"{needs_s(plan):.4g}")
    return {"needs_s": needs, "given_s": plan.facts.kill_wait_s, "fits": fits_kill_wait(plan)}


def cannot_leave(plan: LaunchPlan) -> str | None:
    """What a pre-emption costs where the place kills before two steps and a save are done; None where it does not."""
    leave = leave_dict(plan)
    if leave is None or leave["fits"]:
        return None
    known = "measured" if plan.facts.leave_s else "estimated"
    return (
        f"a pre-emption cannot save: two steps and a save take {duration(leave['needs_s'])} ({known}), and KillWait is "
        f"{duration(leave['given_s'])}; it costs up to an interval. The time limit is told early enough"
    )


def saves(plan: SavePlan) -> str:
    """How often, and which share of the wall time is then training that stays."""
    every = f"every {plural(plan.save_steps, 'step')}" if plan.save_steps else "interval found while training"
    if plan.best_interval_s is None or plan.effective_training_time is None or plan.mtbf_s is None:
        return f"{every}; this cluster never fails (cluster.failures_per_1000_node_days=0)"
    return (
        f"{every}; best every {duration(plan.best_interval_s)} for saves of {duration(plan.save_s)}, restarts of "
        f"{duration(plan.restart_s)} and a failure every {duration(plan.mtbf_s)}: "
        f"{plan.effective_training_time:.1%} effective training time"
    )


def duration(seconds: float) -> str:
    """A time in the unit that makes it short."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def as_json(value: Any) -> str:
    """The value as JSON for a machine; a metric that is no number (NaN, infinity) is null, since JSON has no word for it."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def align(lines: list[tuple[str, str]]) -> str:
    """Labels in one column."""
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in lines)
