"""Status: what is told of one run."""

import dataclasses
from typing import Any, TypedDict

from launcher.clusters.base import RunState
from launcher.status.generation import GenerationServerRow
from launcher.status.learning import (
    GeneralText,
    StoppedEarly,
)
from launcher.status.record import AttemptRow, NextSave

FIGURES = (
    "grad_norm", "tokens", "trained_tokens", "tokens_per_s", "tokens_per_s_per_gpu", "mfu", "hfu", "peak_memory_gib",
    "data_wait_s",
)  # fmt: skip
"""Figures of the newest logged step that a status shows; names as in metrics.jsonl."""


class Estimated(TypedDict):
    """What the plan estimates of a run."""

    step_s: float | None
    """Seconds of a step; null if the plan does not estimate it."""
    memory_gib: float | None
    """Peak GiB of one GPU; null if the plan does not estimate it."""


class Sampled(TypedDict):
    """How much was read of a metrics.jsonl that is too large to be parsed as a whole. Only its torn lines count as damaged, and
    not those with a value of another type."""

    places: int
    """Places, evenly spread over the file, from which the median time of a step was taken: of the effective training time and
    of the time until the next save."""
    lines: int
    """Its complete lines."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A run: its state, its progress, and what went wrong."""

    run: str
    """name/date_time."""
    run_dir: str
    """Absolute path of its folder."""
    state: RunState
    """Its state."""
    job_id: str | None
    """The scheduler's id of its newest job, or the process on this machine; null for a run that was not submitted."""
    insurance: str | None
    """The job that waits in case that the run's job, which has lost its batch host, ends before the run is over
    (cluster.insurance); null for none."""
    attempts: int
    """How often its ranks were started."""
    step: int | None
    """The newest logged step; null before the first."""
    total_steps: int | None
    """Steps that it will have done at its end; null while that is not known."""
    loss: float | None
    """Training loss at that step."""
    eval_loss: float | None
    """Loss of the newest evaluation."""
    perplexity: float | None
    """e to the evaluation loss."""
    figures: dict[str, float | int | None]
    """Of the newest logged step: tokens, rates, MFU and HFU, memory, waiting for data; names as in metrics.jsonl."""
    history: list[AttemptRow]
    """Every attempt: when and where it began, from which step, how it ended and why."""
    effective_training_time: float | None
    """Share of the wall time since the first start that was kept training."""
    planned_training_time: float | None
    """The same, as the plan predicted it."""
    next_save: NextSave | None
    """The next save, while the run is training."""
    error: str | None
    """Why it failed, in one sentence; null for a run that has not failed."""
    planned: Estimated
    """What its plan estimates."""
    measured: dict[str, Any] | None
    """The ranks' newest measurements, the fields of the event `measured` (see Events); None before they exist."""
    early_stopped: StoppedEarly | None
    """When and why early_stopping has ended it; None for another run."""
    general: GeneralText | None
    """The perplexity that forgetting_guard measures; None without it."""
    generation: GenerationServerRow | None
    """The server that generates answers; None for a run without one."""
    damaged: dict[str, int]
    """Lines that were left out because they are torn or not JSON objects, by the name of their file in the run dir."""
    sampled: Sampled | None
    """What was read of a large metrics.jsonl; null for one that was parsed as a whole."""
    warnings: list[str]
    """Warnings for the user."""
    note: str | None
    """What is not known, and why."""
