"""A plan in a few lines of text, and the parts that text and JSON share."""

from collections.abc import Mapping
from typing import Any, TypedDict

from launcher.clusters.registry import find_cluster
from launcher.config import Config, TrainerConfig
from launcher.methods.registry import find_method
from launcher.output import align
from launcher.plan import Facts, LaunchPlan
from launcher.plan.extent import Extent, extent_of
from launcher.plan.generation import Generation
from launcher.plan.length import described
from launcher.plan.queue import fits_kill_wait, needs_s
from launcher.plan.save import SavePlan
from launcher.run import RunDir
from launcher.units import duration, number, percent, plural, significant

MOST_LINES = 14
"""Lines of a launch's summary without -v."""


def describe(
    run: RunDir, plan: LaunchPlan, summary: Mapping[str, Any], config: Config, *, verbose: bool = False
) -> str:
    """The summary of a launch: what runs where on which data, how long, and what to type next; at most MOST_LINES lines,
    with `verbose` all notes."""
    extent = extent_of(config, plan)
    lines = [
        ("run", _named(run, plan)),
        ("run dir", str(run.path)),
        ("cluster", f"{find_cluster(plan.cluster).title}: {layout(plan)}"),
        ("model", _model(plan)),
        ("data", data_line(plan, extent)),
        ("training", training_line(plan, extent)),
        *_memory(plan),
        *([("saves", saves(plan.save))] if plan.save else []),
    ]
    job_id, notes = summary["job_id"], list(summary.get("notes", ()))
    if job_id:
        lines.append(("job", job_id))
    if summary["dry_run"]:
        queued = find_cluster(plan.cluster).queued
        after = [
            ("dry run", f"nothing was {'submitted' if queued else 'started'}"),
            (f"{'submit' if queued else 'start'} with", str(summary["command"])),
        ]
    elif job_id:
        after = [("next", f"python -m launcher follow {run.name}   (or status, logs, cancel)")]
    else:
        after = []
    room = MOST_LINES - len(lines) - len(after)
    if len(notes) > room and not verbose:
        notes = [*notes[: room - 1], f"and {len(notes) - room + 1} more, which -v shows"]
    return align([*lines, *(("note", note) for note in notes), *after])


def _named(run: RunDir, plan: LaunchPlan) -> str:
    return f"{run.name}" + (f"  (experiment {plan.experiment})" if plan.experiment else "")


def _model(plan: LaunchPlan) -> str:
    """The model's name, its size and the trained share."""
    model = plan.model
    if not model.parameters or model.trainable_parameters is None:
        return model.name_or_path
    trained = model.trainable_parameters / model.parameters
    how = "all of them trained" if trained == 1 else f"{percent(trained)} of them trained"
    if trained != 1 and plan.adapter:
        how += " (LoRA)"
    return f"{model.name_or_path}, {_parameters(model.parameters)} parameters, {how}"


def _parameters(count: int) -> str:
    for unit, one in (("billion", 1e9), ("million", 1e6)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count:,}"


def layout(plan: LaunchPlan) -> str:
    """`2 nodes x 8 GPUs`."""
    topology = plan.topology
    unit = "GPU" if plan.device == "cuda" else "CPU rank"
    return f"{plural(topology.nodes, 'node')} x {plural(topology.gpus_per_node, unit)}"


def data_line(plan: LaunchPlan, extent: Extent) -> str:
    """Rows, tokens and files of the training data, and the evaluation file."""
    facts = plan.facts
    paths = ", ".join(facts.training_data)
    counted = paths
    if extent.rows is not None:
        tokens = "" if extent.tokens is None else f", about {number(significant(extent.tokens, 2))} tokens"
        counted = f"{plural(extent.rows, 'row')}{tokens}, in {paths}"
    return f"{counted}; {_evaluation(facts)}"


def _evaluation(facts: Facts) -> str:
    """The evaluation rows: their file, or the number of rows that are held out."""
    if facts.eval_path:
        rows = "" if facts.eval_rows is None else f" ({plural(facts.eval_rows, 'row')})"
        return f"evaluation: {facts.eval_path}{rows}"
    if facts.holds_out:
        rows = "a share" if facts.eval_rows is None else plural(facts.eval_rows, "row")
        return f"{rows} held out for the evaluation"
    return "no evaluation file"


def training_line(plan: LaunchPlan, extent: Extent) -> str:
    """Epochs, optimizer steps and time."""
    unit = find_method(plan.trainer).unit
    size = f"of {plan.batch.global_batch_size} {unit}"
    epochs = (
        "" if extent.epochs is None else f"{number(extent.epochs)} epoch{'' if extent.epochs == 1 else 's'}"
    )
    if extent.steps is None:
        return f"{epochs or 'steps'} in steps {size}; the ranks count them: {plan.length.why}"
    about = "about " if extent.steps_estimated else ""
    steps = f"{about}{plural(extent.steps, 'step')} {size}"
    told = f"{epochs} = {steps}" if epochs else steps
    return told if extent.seconds is None else f"{told}, in about {duration(extent.seconds)} (estimated)"


def plan_lines(plan: LaunchPlan, extent: Extent) -> list[tuple[str, str]]:
    """The decisions, as (label, text), for `plan` and -v."""
    batch, model = plan.batch, plan.model
    counts = ""
    if model.parameters and model.trainable_parameters is not None:
        share = 100 * model.trainable_parameters / model.parameters
        counts = f"  {model.parameters:,} parameters, {model.trainable_parameters:,} trained ({share:.3g} %)"
    return [
        ("cluster", f"{plan.cluster}: {layout(plan)}"),
        ("strategy", f"{plan.strategy.name}, {plan.precision}{groups(plan)}"),
        *([] if plan.trainer == TrainerConfig.kind else [("trainer", plan.trainer)]),
        *([("generation", generation_line(plan.generation))] if plan.generation else []),
        (
            "batch",
            f"{batch.global_batch_size} {find_method(plan.trainer).unit} per step = {batch.micro_batch_size} micro x "
            f"{batch.gradient_accumulation_steps} accumulation x {_takers(plan)}",
        ),
        ("model", f"{model.name_or_path}{counts}"),
        ("data", data_line(plan, extent)),
        ("training", training_line(plan, extent)),
        *([("saves", saves(plan.save)), *_failures(plan.save)] if plan.save else []),
        *([("", too_late)] if (too_late := cannot_save(plan)) else []),
        *_memory(plan),
        *([("chosen", plan.chosen)] if plan.chosen else []),
    ]


def generation_line(generation: Generation) -> str:
    """Who generates answers, where, and with how much memory."""
    memory = ""
    if generation.weights_gib is not None and generation.answer_gib is not None:
        memory = (
            f"; on each of its GPUs {generation.weights_gib:.1f} GiB of weights and {generation.answer_gib:.2f} GiB for each "
            "answer of full length (estimated; the time that it takes is not)"
        )
    if not generation.is_server:
        return f"vLLM in the ranks, {generation.gpu_memory_utilization:.0%} of each GPU{memory}"
    where = plural(generation.nodes, "node") if generation.nodes else "beside the ranks"
    return f"a server, {where} x {plural(generation.gpus, 'GPU')}{memory}"


def groups(plan: LaunchPlan) -> str:
    """How the ranks are grouped, if the state has copies or the weights a second copy; "" otherwise."""
    degrees = plan.degrees
    if degrees.dp_replicate > 1 and degrees.shard_size > 1 and not plan.strategy.replicates:
        return f", {degrees.dp_replicate} copies, each sharded over {plural(degrees.shard_size, 'rank')}"
    if degrees.hpz > 1:
        return f", a second copy of the weights on every {degrees.hpz} ranks"
    return ""


def _takers(plan: LaunchPlan) -> str:
    """The ranks, or the groups of ranks that share a sequence, that take different samples."""
    size = plan.degrees.data_parallel_size
    if plan.degrees.sequence == 1:
        return plural(size, "rank")
    return f"{plural(size, 'group')} of {plan.degrees.sequence} ranks that share each sequence"


def _memory(plan: LaunchPlan) -> list[tuple[str, str]]:
    if plan.memory:
        return [("memory", f"{plan.memory.total:.1f} GiB per GPU, estimated")]
    why_not = not_estimated(plan)
    return [("memory", why_not)] if plan.device == "cuda" and why_not else []


def not_estimated(plan: LaunchPlan) -> str | None:
    """Why memory and time are not estimated for this plan's method or model; None if they are."""
    why_not = find_method(plan.trainer).not_estimated
    if why_not is not None:
        return f"not estimated for trainer.kind={plan.trainer}: {why_not}"
    if plan.facts.architecture is not None and plan.facts.teacher_name and not plan.facts.teacher:
        return (
            f"not estimated: the shape of the teacher {plan.facts.teacher_name} is not known here; `python -m launcher fetch` "
            "with the arguments of this command brings its config.json"
        )
    if plan.facts.architecture is not None:
        return None
    return (
        f"not estimated: the shape of {plan.model.name_or_path} is not known here; `python -m launcher plan --inspect` with "
        "the arguments of this command counts it"
    )


class ShutdownTime(TypedDict):
    """Whether a pre-empted run has the time to save."""

    needs_s: float
    """Seconds from the order to shut down until two steps and a whole save are done."""
    given_s: float
    """Seconds between SIGTERM and SIGKILL on this cluster."""
    fits: bool
    """Whether the save is done in time."""


def shutdown_dict(plan: LaunchPlan, trials: int = 1) -> ShutdownTime | None:
    """The time that a shutdown needs and has, with that many trials in the job; None without saves."""
    if plan.save is None:
        return None
    needs = significant(needs_s(plan, trials))
    return {"needs_s": needs, "given_s": plan.facts.kill_wait_s, "fits": fits_kill_wait(plan, trials)}


def cannot_save(plan: LaunchPlan, trials: int = 1) -> str | None:
    """The cost of a pre-emption if the cluster kills the job before two steps and a save of each trial are done; None
    otherwise."""
    shutdown = shutdown_dict(plan, trials)
    if shutdown is None or shutdown["fits"]:
        return None
    known = "measured" if plan.facts.shutdown_s else "estimated"
    whose = "" if trials == 1 else f" of each of {trials} trials"
    return (
        f"a pre-emption leaves no time to save: two steps and a save{whose} take {duration(shutdown['needs_s'])} ({known}), "
        f"but KillWait is {duration(shutdown['given_s'])}; up to one save interval is lost. The signal before the time limit "
        "is early enough"
    )


def saves(plan: SavePlan) -> str:
    """How often the run saves."""
    if plan.save_steps:
        return f"every {plural(plan.save_steps, 'step')}"
    if plan.save_every is not None:
        return f"every {described(plan.save_every)}, whose steps the ranks count"
    if plan.best_interval_s is None:
        return "at an interval that the run derives from its measurements"
    return f"about every {duration(plan.best_interval_s)}, adjusted to what the run measures"


def _failures(plan: SavePlan) -> list[tuple[str, str]]:
    """The best interval between saves for the expected failures, and the resulting share of effective training time."""
    if plan.best_interval_s is None or plan.effective_training_time is None or plan.mtbf_s is None:
        return [("failures", "none expected (cluster.failures_per_1000_node_days=0)")]
    return [
        (
            "failures",
            f"one every {duration(plan.mtbf_s)} expected; for saves of {duration(plan.save_s)} and restarts of "
            f"{duration(plan.restart_s)}, saving every {duration(plan.best_interval_s)} is best: "
            f"{plan.effective_training_time:.1%} effective training time",
        )
    ]
