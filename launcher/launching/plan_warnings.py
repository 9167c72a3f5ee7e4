"""The warnings about a plan, which are shown before anything is submitted."""

import os
from typing import Any, TypedDict

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.config.schema import is_shipped
from launcher.config.spelling import in_minutes
from launcher.launching.choose_shape import shape_note
from launcher.launching.composed import Composed
from launcher.launching.data_gate import data_warnings
from launcher.launching.machine_gate import cpu_note, cpu_warning
from launcher.launching.package_gate import refusals
from launcher.launching.parents import replaceable
from launcher.launching.tokens_made import tokens_note
from launcher.output import say, warn
from launcher.plan import LaunchPlan, close_call, few_cores, little_memory
from launcher.plan.allocator import replaces
from launcher.plan.combine import notes
from launcher.plan.extent import extent_of, short_run
from launcher.plan.positions import beyond

_STEEP = 0.1


def warnings_of(composed: Composed, plan: LaunchPlan, data: list[dict[str, Any]]) -> list[str]:
    """Every warning about a run, the most important first. `data`: the reports of the data check."""
    config = composed.config
    found = [
        *what_it_trains(config, plan, default_data=composed.uses_default_data),
        in_minutes(config.resources.time),
        steep(config.trainer.learning_rate),
        cpu_warning(config, plan),
        *replaceable(config),
        no_optimizer_state(config, plan),
        beyond(config.model, plan.facts),
        close_call(config, plan),
        few_cores(plan),
        little_memory(plan),
        *unchecked(config),
        replaces(plan.env, os.environ),
        *find_cluster(plan.cluster).shell_warnings(plan.job_options, os.environ),
        *data_warnings(data),
    ]
    return [one for one in found if one]


def what_it_trains(config: Config, plan: LaunchPlan, *, default_data: bool) -> list[str]:
    """Warnings about shipped data that the user did not choose, and about too few steps."""
    found: list[str] = []
    if default_data and is_shipped(config.data.path):
        found.append(
            f"this run trains on the shipped sample ({plan.facts.rows or 'a few'} short chats), because data.path is not set; "
            "set data.path=FILE, or data=quickstart if the sample is what you want"
        )
    return [*found, *short_run(extent_of(config, plan))]


def steep(learning_rate: float | None) -> str | None:
    """A warning about a learning rate from which no fine-tune recovers: most often its exponent was forgotten."""
    if learning_rate is None or learning_rate <= _STEEP:
        return None
    return f"trainer.learning_rate={learning_rate:g} is far above the usual 1e-6 to 1e-3: the loss diverges; is e-4 missing?"


def no_optimizer_state(config: Config, plan: LaunchPlan) -> str | None:
    """A warning if the run's checkpoints hold the weights alone: what a failure then costs."""
    if plan.save is None or not plan.save.weights_only:
        return None
    said = "plugins.sharded_checkpoint.weights_only=true: checkpoints have no optimizer state"
    if config.resume_weights_only:
        return f"{said}; after an interruption the run goes on at the newest one's step, with a new optimizer"
    return (
        f"{said}, so the run does not go on after a failure, a pre-emption or its time limit; set resume_weights_only=true if "
        "it may go on with a new optimizer"
    )


def unchecked(config: Config) -> list[str]:
    """Warnings about settings that are passed on to a library and that nothing here checks."""
    return [
        f"{key} passes {', '.join(sorted(map(str, given)))} on to {library} unchecked: no estimate and no rule of the plan "
        "knows what it does"
        for key, given, library in (
            ("trainer.args", config.trainer.args, "transformers or trl"),
            ("strategy.deepspeed", config.strategy.deepspeed, "DeepSpeed"),
        )
        if given
    ]


def evaluation_note(left_out: bool) -> list[str]:
    """A sentence if the shipped evaluation file is not used."""
    said = (
        "data.path is your own, so the shipped evaluation file is not used; set data.eval_path=FILE or "
        "data.eval_fraction=0.05 to evaluate"
    )
    return [said] if left_out else []


def learning_notes(config: Config, plan: LaunchPlan) -> list[str]:
    """Sentences about the classes of a classifier and about a teacher; none for other runs, which import no module of these."""
    found: list[str] = []
    if plan.classes is not None:
        from launcher.launching.class_gate import class_note

        found += class_note(plan)
    if plan.facts.teacher_name is not None or config.trainer.teacher_logits is not None:
        from launcher.launching.teacher_gate import stored_note, teacher_note

        found += [*teacher_note(plan), *stored_note(config)]
    return found


def plan_notes(composed: Composed, plan: LaunchPlan) -> list[str]:
    """What `plan` notes: what is left out, where it trains, why a launch is refused, and settings that may not be the best."""
    from launcher.launching.model_files import incomplete_note  # imported here: a launch shows no such note

    config = composed.config
    return [
        *evaluation_note(composed.evaluation_left_out),
        *learning_notes(config, plan),
        *cpu_note(config, plan),
        *tokens_note(config, plan.facts),
        *refusals(config, plan),
        *incomplete_note(config),
        *notes(config, plan),
        *shape_note(composed),
    ]


def print_warnings(composed: Composed, plan: LaunchPlan, data: list[dict[str, Any]]) -> list[str]:
    """The warnings of a run, which are printed on stderr, after what was dropped for another model."""
    if composed.note:
        say(composed.note)
    found = warnings_of(composed, plan, data)
    for one in found:
        warn(one)
    return found


class HowMuch(TypedDict):
    """How much a run trains; null for what is not known before it starts."""

    rows: int | None
    """Training rows of an epoch."""
    tokens: int | None
    """Tokens of an epoch, estimated from the lengths that the data check found."""
    epochs: float | None
    """Passes over the data."""
    steps: int | None
    """Optimizer steps of the whole run."""
    steps_estimated: bool
    """Whether the steps follow from an estimate of the tokens, because rows are packed."""
    seconds: float | None
    """Estimated wall time over all attempts, without the time in the queue."""


def extent_dict(config: Config, plan: LaunchPlan) -> HowMuch:
    """How much the run trains, for JSON."""
    extent = extent_of(config, plan)
    return {
        "rows": extent.rows, "tokens": extent.tokens, "epochs": extent.epochs, "steps": extent.steps,
        "steps_estimated": extent.steps_estimated, "seconds": extent.seconds,
    }  # fmt: skip
