"""A plan in a few lines of text, and the parts that text and JSON share."""

from collections.abc import Mapping
from typing import Any, TypedDict

from launcher.config import TrainerConfig
from launcher.methods.registry import find_method
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.plan.save import SavePlan
from launcher.plan.shutdown import fits_kill_wait, needs_s
from launcher.run import RunDir
from launcher.units import duration, plural, significant


def describe(run: RunDir, plan: LaunchPlan, summary: Mapping[str, Any]) -> str:
    """The decisions and the next commands."""
    lines = [
        ("run", f"{run.name}" + (f"  (experiment {plan.experiment})" if plan.experiment else "")),
        ("run dir", str(run.path)),
        *plan_lines(plan),
    ]
    lines += [("note", note) for note in summary.get("notes", ())]
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
        *([] if plan.trainer == TrainerConfig.kind else [("trainer", plan.trainer)]),
        (
            "batch",
            f"{batch.global_batch_size} {find_method(plan.trainer).unit} per step = {batch.micro_batch_size} micro x "
            f"{batch.gradient_accumulation_steps} accumulation x {plural(plan.degrees.data_parallel_size, 'rank')}",
        ),
        ("model", f"{model.name_or_path}{counts}"),
        ("data", ", ".join(plan.facts.data_sources or (plan.facts.data_path,))),
        *([("saves", saves(plan.save))] if plan.save else []),
        *([("", too_late)] if (too_late := cannot_save(plan)) else []),
        *_memory(plan),
        *([("chosen", plan.chosen)] if plan.chosen else []),
    ]


def _memory(plan: LaunchPlan) -> list[tuple[str, str]]:
    if plan.memory:
        return [("memory", f"{plan.memory.total:.1f} GiB per GPU, estimated")]
    why_not = not_estimated(plan)
    return [("memory", why_not)] if plan.device == "cuda" and why_not else []


def not_estimated(plan: LaunchPlan) -> str | None:
    """Why memory and time are not estimated for this plan's method; None if they are."""
    why_not = find_method(plan.trainer).not_estimated
    return None if why_not is None else f"not estimated for trainer.kind={plan.trainer}: {why_not}"


class Shutdown(TypedDict):
    """Whether a pre-empted run has the time to save."""

    needs_s: float
    """Seconds from the order to shut down until two steps and a whole save are done."""
    given_s: float
    """Seconds between SIGTERM and SIGKILL on this cluster."""
    fits: bool
    """Whether the save is done in time."""


def shutdown_dict(plan: LaunchPlan) -> Shutdown | None:
    """The time that a shutdown needs and has; None without saves."""
    if plan.save is None:
        return None
    needs = significant(needs_s(plan))
    return {"needs_s": needs, "given_s": plan.facts.kill_wait_s, "fits": fits_kill_wait(plan)}


def cannot_save(plan: LaunchPlan) -> str | None:
    """The cost of a pre-emption if the cluster kills the job before two steps and a save are done; None otherwise."""
    shutdown = shutdown_dict(plan)
    if shutdown is None or shutdown["fits"]:
        return None
    known = "measured" if plan.facts.shutdown_s else "estimated"
    return (
        f"a pre-emption leaves no time to save: two steps and a save take {duration(shutdown['needs_s'])} ({known}), but "
        f"KillWait is {duration(shutdown['given_s'])}; up to one save interval is lost. The signal before the time limit is "
        "early enough"
    )


def saves(plan: SavePlan) -> str:
    """How often the run saves, and the resulting share of effective training time."""
    every = f"every {plural(plan.save_steps, 'step')}" if plan.save_steps else "interval found while training"
    if plan.best_interval_s is None or plan.effective_training_time is None or plan.mtbf_s is None:
        return f"{every}; this cluster never fails (cluster.failures_per_1000_node_days=0)"
    return (
        f"{every}; best every {duration(plan.best_interval_s)} for saves of {duration(plan.save_s)}, restarts of "
        f"{duration(plan.restart_s)} and a failure every {duration(plan.mtbf_s)}: "
        f"{plan.effective_training_time:.1%} effective training time"
    )
