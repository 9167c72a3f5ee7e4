"""A plan's estimates for a person and for a machine: memory, time, cost, the queue, and other settings."""

from typing import TypedDict

from launcher.config import Config
from launcher.launching.summary import ShutdownTime, not_estimated, shutdown_dict
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.plan.alternatives import Alternative, find_alternatives
from launcher.plan.generation import gpu_limit
from launcher.plan.host_limit import host_limit
from launcher.plan.memory import explain_terms
from launcher.plan.queue import ExpectedCourse, expect
from launcher.plan.time import StepTime
from launcher.plan.verdict import fits
from launcher.units import duration, plural

Lines = list[tuple[str, str]]
_NOT_KNOWN = (
    "not estimated: this run is on a CPU, or the estimate does not know its trainer.optim or its "
    "model.attn_implementation"
)


class MemoryNeed(TypedDict):
    """What a run needs of GPU memory, host memory and disk."""

    fits: bool | None
    """Whether it fits the cluster's GPUs; null if their size is not known."""
    gpu_gib: float | None
    """GiB of one GPU of the cluster (cluster.gpu_memory_gib)."""
    host_fits: bool | None
    """Whether it fits a node's host memory; null if neither resources.memory_gib nor cluster.node_memory_gib is set."""
    node_gib: float | None
    """The smaller of resources.memory_gib and cluster.node_memory_gib."""
    host_gib: float
    """GiB of a node's host memory."""
    per_gpu_gib: dict[str, float]
    """Peak GiB of one GPU by kind of memory, and their `total`."""
    checkpoint_gib: float
    """GiB on disk of one checkpoint."""


class Cost(TypedDict):
    """What a run is expected to cost."""

    gpu_hours: float | None
    """GPU-hours over all attempts; null if the time is not known."""
    money: float | None
    """In the currency of cluster.price_per_gpu_hour; null if that is not set."""


class Estimates(TypedDict):
    """The estimates of a plan; null where the plan does not know."""

    memory: MemoryNeed | None
    """Memory and disk."""
    time: StepTime | None
    """How long a step and the run take."""
    cost: Cost
    """The price."""
    queue: ExpectedCourse | None
    """The expected course over the attempts."""
    shutdown: ShutdownTime | None
    """Whether a pre-emption leaves time to save; null without saves."""
    alternatives: list[Alternative]
    """Other settings that fit."""


class ExplainedTerm(TypedDict):
    """One kind of memory, and how it was counted."""

    gib: float
    """GiB of one GPU, of a node's host memory, or of a checkpoint's disk space."""
    counted: str
    """The formula and its source."""
    shown_by: str
    """How the count was verified."""


class Explained(TypedDict):
    """How the memory and the time of a plan were estimated."""

    memory: dict[str, ExplainedTerm] | None
    """Each kind of memory by its name; null if memory is not estimated."""
    time: str | None
    """The basis of the estimate of time; null if time is not estimated."""


def estimates_dict(config: Config, plan: LaunchPlan) -> Estimates:
    """The plan's estimates."""
    course = expect(config, plan)
    money = None if course is None else course.money
    return {
        "memory": memory_dict(config, plan),
        "time": plan.time,
        "cost": {"gpu_hours": course.gpu_hours if course else None, "money": money},
        "queue": course,
        "shutdown": shutdown_dict(plan),
        "alternatives": _alternatives(config, plan),
    }


def memory_dict(config: Config, plan: LaunchPlan) -> MemoryNeed | None:
    """Whether the run fits the cluster's GPUs and nodes, null if unknown, and the memory that it needs of each kind."""
    if plan.memory is None or plan.room is None:
        return None
    size, limit = gpu_limit(config.cluster.gpu_memory_gib, plan.generation), host_limit(config)
    return {
        "fits": None if size is None else plan.memory.total <= size,
        "gpu_gib": size,
        "host_fits": None if limit is None else plan.room.host_gib <= limit[1],
        "node_gib": None if limit is None else limit[1],
        "host_gib": plan.room.host_gib,
        "per_gpu_gib": plan.memory.to_dict(),
        "checkpoint_gib": plan.room.checkpoint_gib,
    }


def estimate_lines(config: Config, plan: LaunchPlan) -> Lines:
    """The verdict, a bar for each kind of memory, time, cost, the queue, and better alternatives."""
    course = expect(config, plan)
    return [
        *_verdict(config, plan),
        *_time(plan, course),
        *_cost(course),
        *_queue(plan, course),
        *_choices(_alternatives(config, plan)),
    ]


def explain_dict(plan: LaunchPlan) -> Explained:
    """How each kind of memory and the time were estimated."""
    time = plan.time.basis if plan.time else None
    if plan.memory is None or plan.room is None:
        return {"memory": None, "time": time}
    memory: dict[str, ExplainedTerm] = {
        term.name: {"gib": gib, "counted": term.counted, "shown_by": term.shown_by}
        for term, gib in explain_terms(plan.memory, plan.room)
    }
    return {"memory": memory, "time": time}


def explain_lines(plan: LaunchPlan) -> Lines:
    """The same as text, one line per kind of memory."""
    explained = explain_dict(plan)
    if explained["memory"] is None:
        why_not = not_estimated(plan) or _NOT_KNOWN
        return [("memory", why_not)]
    lines = [
        (f"{kind:<14}{one['gib']:>8.2f} GiB", f"{one['counted']} Shown by: {one['shown_by']}.")
        for kind, one in explained["memory"].items()
    ]
    return [*lines, *([("time", explained["time"])] if explained["time"] else [])]


def _alternatives(config: Config, plan: LaunchPlan) -> list[Alternative]:
    """Other settings: if the plan does not fit, first those that fit, the nearest to it first; then the best of each kind."""
    if fits(config, plan) is not False:
        return find_alternatives(config, plan)
    from launcher.plan.way_out import find_ways_out  # only a plan that does not fit needs it

    return [*find_ways_out(config, plan), *find_alternatives(config, plan)]


def _verdict(config: Config, plan: LaunchPlan) -> Lines:
    if plan.memory is None or plan.room is None:
        return []
    total, size, limit = (
        plan.memory.total,
        gpu_limit(config.cluster.gpu_memory_gib, plan.generation),
        host_limit(config),
    )
    if size is None:
        fits = f"needs {total:.1f} GiB per GPU; set cluster.gpu_memory_gib to check it"
    elif total <= size:
        fits = f"yes, with {size - total:.1f} GiB to spare of {size:g}"
    else:
        fits = f"no: needs {total:.1f} of {size:g} GiB; a launch would be refused"
    bars = [
        ("", f"{kind:<14}{gib:>8.2f} GiB  {'#' * round(40 * gib / max(total, size or 0))}")
        for kind, gib in plan.memory.parts.items()
    ]
    needs = f"{plan.room.host_gib:.1f} GiB of each node's memory"
    if limit is not None and plan.room.host_gib > limit[1]:
        needs += f" (no: {limit[0]}={limit[1]:g}; a launch would be refused)"
    if beside := find_method(plan.trainer).processes(config):
        number = "a process" if beside == 1 else f"{beside} processes"
        needs += f" (with {number} beside each rank, but without the memory that their functions take)"
    room = f"{needs}, {plan.room.checkpoint_gib:.2f} GiB per checkpoint"
    return [("fits", fits), *bars, ("needs", room)]


def _time(plan: LaunchPlan, course: ExpectedCourse | None) -> Lines:
    time = plan.time
    if time is None:
        return []
    speed = f"{time.step_s:.3g} s per step, {time.tokens_per_s:,.0f} tokens/s"
    if time.steps is not None and course and course.wall_h is not None:
        speed += f"; {plural(time.steps, 'step')} in {duration(course.wall_h * 3600)}"
    return [("time", speed), ("", f"by {time.basis}")]


def _cost(course: ExpectedCourse | None) -> Lines:
    if course is None or course.gpu_hours is None:
        return []
    money = "" if course.money is None else f", {course.money:,.2f} at cluster.price_per_gpu_hour"
    return [("cost", f"{course.gpu_hours:,.3g} GPU-hours{money}")]


def _queue(plan: LaunchPlan, course: ExpectedCourse | None) -> Lines:
    if course is None:
        return []
    limit = f"the limit of {course.limit_h:g} h"
    if course.attempts is None:
        way = "without saves it starts over each time; add sharded_checkpoint to plugin, or raise resources.time"
        if plan.save and plan.save.weights_only:
            way = "its checkpoints have no optimizer state; set resume_weights_only=true, or raise resources.time"
        elif plan.save:
            way = "its start and the steps that it repeats after each limit leave no time to train; raise resources.time"
        return [("queue", f"{limit} interrupts it, and it never finishes: {way}")]
    cut = f"{limit} interrupts it" if course.cut else f"within {limit}"
    share = course.effective_training_time or 0
    return [("queue", f"{cut}; {plural(course.attempts, 'attempt')}, {share:.1%} of the time is training")]


def _choices(found: list[Alternative]) -> Lines:
    names = {
        "cheapest": "cheapest",
        "largest_micro_batch": "largest micro-batch",
        "longest_context": "longest context",
        "longest_tiled_context": "longest, tiled",
        "longest_shared_context": "longest, shared",
        "fewest_gpus": "fewest GPUs",
        "four_bit": "4-bit weights",
        "larger_gpu": "larger GPU",
        "smaller_micro_batch": "smaller micro-batch",
        "checkpointing": "recomputation",
        "tiled_mlp": "tiled MLP",
        "strategy": "sharding",
        "fewer_copies": "fewer copies",
        "sequence": "shared sequences",
        "offload": "offloading",
        "more_gpus": "more GPUs",
        "fewer_gpus": "fewer GPUs",
        "shorter": "shorter sequences",
        "lora": "LoRA",
        "qlora": "QLoRA",
    }
    lines: Lines = []
    for one in found:
        typed = " ".join(one.overrides) or "as planned"
        takes = f"{plural(one.gpus, 'GPU')}, {one.total_gib:.1f} GiB each, {one.step_s:.3g} s per step"
        lines.append(("or" if not lines else "", f"{names[one.kind]:<20}{typed}  ({takes})"))
    return lines
