"""metrics.jsonl: the logged values of training, one line per logged step, evaluation or measurement of a plugin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from launcher.run.events.base import VERSION
from launcher.run.lines import LineReader, is_time
from launcher.run.record import EMPTY, Record

T = TypeVar("T", bound="Line")


class Line(Record):
    """A line of metrics.jsonl. In lines of older versions any field but the step may be missing; it is then None."""

    time: str = ""
    """When it was logged: UTC, ISO 8601, with milliseconds."""
    step: int
    """Optimizer steps that were done."""
    more: Mapping[str, Any] = EMPTY
    """Everything else, by name: rewards and margins as trl names them, and fields that this version does not know."""

    def get(self, name: str) -> Any:
        """The value of a name as in the file; None if there is none."""
        return getattr(self, name) if name in self.FIELDS else self.more.get(name)

    def values(self) -> dict[str, Any]:
        """What the line holds, without the version."""
        own = {name: getattr(self, name) for name in self.FIELDS if name != "more"}
        return {**own, **self.more}

    def line(self) -> dict[str, Any]:
        """The line to write."""
        return {**self.values(), "v": VERSION}


class Logged(Line):
    """A training step that was logged.

    Written by: rank 0, every trainer.logging_steps steps. Means and rates are of the steps since the line before.
    """

    loss: float
    """Mean training loss."""
    total_steps: int | None = None
    """Steps that the run will have done at its end."""
    learning_rate: float | None = None
    """The learning rate of the step."""
    grad_norm: float | None = None
    """The gradient norm before clipping; None if it was not computed or is not finite."""
    epoch: float | None = None
    """Passes through the training data so far."""
    samples: int | None = None
    """Sequences that were trained on so far, over all ranks."""
    tokens: int | None = None
    """Tokens that were trained on so far, over all ranks, without padding."""
    trained_tokens: int | None = None
    """The tokens of these that the loss counts."""
    tokens_per_s: float | None = None
    """Tokens per second over all ranks, without evaluations."""
    tokens_per_s_per_gpu: float | None = None
    """Tokens per second of a rank."""
    mfu: float | None = None
    """Model FLOPs utilization: FLOPs of the model's forward and backward passes per second, as a share of all ranks' peak."""
    hfu: float | None = None
    """Hardware FLOPs utilization: as mfu, with what is computed again for gradient checkpointing."""
    peak_memory_gib: float | None = None
    """Peak GiB of tensors on rank 0's GPU since its start; on a CPU, of its process."""
    data_wait_s: float | None = None
    """Seconds for which rank 0 waited for batches."""
    expert_load: float | None = None
    """Tokens of the busiest expert over the mean of its block, in the block where that is most, over all ranks: 1 is even.
    None for a model without experts, and with trainer.torch_compile."""
    router_aux_loss: float | None = None
    """Mean load-balancing loss of a row, before its weight; None without trainer.router_aux_loss_coef."""


class Evaluation(Line):
    """An evaluation. Other keys that begin with eval_ are what the method or a plugin measures on the evaluation data.

    Written by: rank 0, after each evaluation.
    """

    eval_loss: float | None = None
    """Mean loss on the evaluation data."""
    perplexity: float | None = None
    """e to that loss; None for methods whose loss is not one of next tokens."""


class Measure(Line):
    """What a plugin measured at a step, under names that the plugin chooses.

    Written by: rank 0, for trainer.measured(name=value).
    """


class Scored(Line):
    """The figures of a checkpoint on tasks, under names tasks/TASK/METRIC. It can come after lines of higher steps; the
    newest line of a step counts.

    Written by: the job of eval_job.
    """


TASKS = "tasks/"
"""Prefix of the names of figures on tasks."""
KINDS: tuple[type[Line], ...] = (Logged, Evaluation, Measure, Scored)
"""All kinds of lines."""


def parse_metrics(value: Mapping[str, Any]) -> Line | None:
    """The line in a JSON object: scores if a key begins with tasks/, an evaluation if one begins with eval_, a logged step
    if it has a loss.

    None if a value is not of its field's type.
    """
    if any(key.startswith(TASKS) for key in value):
        return _make(Scored, value)
    if any(key.startswith("eval_") for key in value):
        return None if Evaluation.find_wrong(value) else _make(Evaluation, value)
    return _make(Logged if value.get("loss") is not None else Measure, value)


def _make(kind: type[T], value: Mapping[str, Any]) -> T | None:
    if Logged.find_wrong(value) or not is_time(value.get("time", "")):
        return None
    own: dict[str, Any] = {"step": 0}
    more: dict[str, Any] = {}
    for name, one in value.items():
        if name in kind.FIELDS and name != "more":
            own[name] = one
        elif name != "v":
            more[name] = one
    return kind(**own, more=more)


class MetricsReader(LineReader[Line]):
    """Reads a growing metrics.jsonl: each read returns the lines that were appended since the previous one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, parse_metrics)
