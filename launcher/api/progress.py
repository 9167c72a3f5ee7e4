"""What a job's run has written -> the API's events, the CSV of its results, and its checkpoints."""

import csv
import io
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from launcher.api.documents import Document
from launcher.checkpoint.folders import committed
from launcher.run import RunDir
from launcher.run.metrics import Evaluation, Line, Logged, MetricsReader

_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
"""Columns of the API's result file. Source: OpenAI's fine-tuning guide, "Analyzing your fine-tuned model"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One line of metrics as an event."""

    source: str
    message: str
    data: dict[str, Any]


class MetricEvents:
    """Reads what a run adds to its metrics."""

    def __init__(self, run: RunDir) -> None:
        self._reader = MetricsReader(run.metrics)

    def read(self) -> list[Metric]:
        """What was added since the last call; a line has the same `source` whoever reads it."""
        return [one for line in self._reader.read() if (one := _metric(line))]


def _metric(line: Line) -> Metric | None:
    if isinstance(line, Logged):
        total = line.total_steps
        of = f"/{total}" if total else ""
        data = {"step": line.step, "train_loss": line.loss, **({"total_steps": total} if total else {})}
        message = f"Step {line.step}{of}: training loss={line.loss:.4f}"
        return Metric(source=f"step:{line.step}", message=message, data=data)
    if isinstance(line, Evaluation) and line.eval_loss is not None:
        message = f"Step {line.step}: validation loss={line.eval_loss:.4f}"
        loss = line.eval_loss if math.isfinite(line.eval_loss) else None  # JSON has no NaN
        return Metric(
            source=f"valid:{line.step}", message=message, data={"step": line.step, "valid_loss": loss}
        )
    return None


def results_csv(run: RunDir) -> bytes:
    """The metrics of a run as the API's result file: one line per logged step, and per evaluation of another step."""
    rows: dict[int, dict[str, Any]] = {}
    for line in run.read_metrics():
        if isinstance(line, Logged):
            rows.setdefault(line.step, {})["train_loss"] = line.loss
            rows[line.step]["train_accuracy"] = line.get("mean_token_accuracy")
        elif isinstance(line, Evaluation) and line.eval_loss is not None:
            rows.setdefault(line.step, {})["valid_loss"] = line.eval_loss
            rows[line.step]["valid_mean_token_accuracy"] = line.get("eval_mean_token_accuracy")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for step in sorted(rows):
        values = {"step": step, **rows[step]}
        writer.writerow(["" if values.get(name) is None else values[name] for name in _COLUMNS])
    return text.getvalue().encode()


def trained_tokens(run: RunDir) -> int | None:
    """Tokens that the loss has counted; None before the first logged step."""
    counted = [
        line.trained_tokens for line in run.read_metrics() if isinstance(line, Logged) and line.trained_tokens
    ]
    return counted[-1] if counted else None


def checkpoint_documents(run: RunDir, job_id: str, model: str) -> list[Document]:
    """The committed checkpoints of a run as the API writes them, the newest first. `model`: the name of the finished model."""
    losses = {line.step: line.loss for line in run.read_metrics() if isinstance(line, Logged)}
    found: list[Document] = []
    for one in committed(run.checkpoints):
        step = one.manifest.step
        metrics = {"step": step, "train_loss": losses.get(step), "full_valid_loss": one.manifest.eval_loss}
        found.append(
            {
                "id": f"ftckpt-{job_id.removeprefix('ftjob-')}-{step}",
                "object": "fine_tuning.job.checkpoint",
                "created_at": int(datetime.fromisoformat(one.manifest.time).timestamp()),
                "fine_tuned_model_checkpoint": checkpoint_name(model, step),
                "step_number": step,
                "metrics": {name: value for name, value in metrics.items() if value is not None},
                "fine_tuning_job_id": job_id,
            }
        )
    return found


def checkpoint_name(model: str, step: int) -> str:
    """The name by which a checkpoint is asked."""
    return f"{model}:ckpt-step-{step}"
