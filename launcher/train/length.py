"""The length of a run on the ranks: the planned one, or derived from the rows if the plan could not decide it."""

import dataclasses
from typing import Any

from launcher.errors import NotAsPlanned
from launcher.plan import LaunchPlan
from launcher.plan.length import RunLength, count_steps, derive, final_args, steps_of
from launcher.plan.save import SavePlan


def settle_length(plan: LaunchPlan, args: Any, samples: int) -> RunLength:
    """The length that this rank trains; `samples` are the sequences of an epoch.

    A decided length does not change, and `args` already hold it. A length that is left to the ranks is derived and put into
    `args`. The main rank prints a warning if the rows would give another length than the planned one.
    """
    length = derive(plan.length, plan.trainer_args, samples, plan.batch.global_batch_size)
    if plan.length.steps is None:
        for name, value in final_args({}, length).items():
            setattr(args, name, value)
    if plan.length.eval_every is not None:
        args.eval_steps = steps_of(plan.length.eval_every, length)
    if args.process_index == 0 and (warning := _difference(plan, samples)):
        print(f"launcher: warning: {warning}", flush=True)
    return length


def settle_saves(save: SavePlan, length: RunLength) -> SavePlan:
    """The planned saves, with the steps between them if the ranks derive these from the length of the run."""
    if save.save_every is None:
        return save
    return dataclasses.replace(save, save_steps=steps_of(save.save_every, length) or 0)


def length_facts(plan: LaunchPlan, length: RunLength, samples: int) -> dict[str, Any]:
    """The facts of the event `length`: the length of the run, and the rows counted by the plan and by the ranks."""
    assert length.steps is not None
    return {
        "steps": length.steps,
        "warmup_steps": length.warmup_steps,
        "samples": samples,
        "planned_rows": plan.length.rows,
        "epochs": round(length.steps * plan.batch.global_batch_size / samples, 4),
        "decided_by": length.decided_by,
    }


def _difference(plan: LaunchPlan, samples: int) -> str | None:
    """A sentence if the planned steps differ from the requested epochs of the samples on the ranks; None if they match."""
    if plan.length.decided_by != "rows" or plan.length.steps is None or plan.length.epochs is None:
        return None
    steps = count_steps(samples, plan.batch.global_batch_size, plan.length.epochs)
    if steps == plan.length.steps:
        return None
    epochs = plan.length.steps * plan.batch.global_batch_size / samples
    return (
        f"the planned {plan.length.steps} steps are {epochs:.3g} epochs, not trainer.num_train_epochs={plan.length.epochs:g}: "
        f"the plan counted {plan.length.rows} training rows, and {samples} remain without those that are too long; "
        f"trainer.max_steps={steps} gives the requested epochs"
    )


def check_arguments(args: Any, plan: LaunchPlan) -> None:
    """NotAsPlanned if a number or a boolean of the trainer's arguments differs from plan.json.

    Call it before training. A length that the ranks derive is left out; values of other types are not compared, because the
    arguments convert them.
    """
    derived = () if plan.length.steps is not None else ("max_steps", "num_train_epochs", "warmup_steps")
    for name, planned in plan.trainer_args.items():
        if (
            name in derived
            or not isinstance(planned, bool | int | float)
            or isinstance(getattr(args, name), list)
        ):
            continue
        if getattr(args, name) != planned:
            raise NotAsPlanned(
                f"the trainer's {name} is {getattr(args, name)!r} on this rank and {planned!r} in plan.json; a plugin that "
                "changes it must do so in on_plan"
            )
