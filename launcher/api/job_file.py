"""A job's hyperparameters -> the keys of its run, as a file that `launcher --config` reads.

The file holds names and numbers that the server has chosen or checked, and no text of a request.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from launcher.run import write_text

_TARGET_EPOCHS, _LEAST, _MOST, _MOST_EPOCHS = 3, 100, 25_000, 25
"""How OpenAI chose n_epochs. Source: its cookbook, "Data preparation and analysis for chat model fine-tuning"."""
_SHARE, _SMALL, _LARGE = 0.002, 4, 256
"""Rows of a batch: 0.2 % of the rows, at most 256. Source: OpenAI's API reference of 2023 on batch_size. At least 4."""
_KEPT = 3
"""Checkpoints that a job keeps: those of its last epochs, as the API does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedHyperparameters:
    """The hyperparameters of a job with a number for each `auto`."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    beta: float | None


def decide(given: dict[str, Any], rows: int) -> DecidedHyperparameters:
    """The values for a training file with that number of rows."""
    epochs, batch, times = given["n_epochs"], given["batch_size"], given["learning_rate_multiplier"]
    beta = given.get("beta", "auto")
    return DecidedHyperparameters(
        n_epochs=_epochs(rows) if epochs == "auto" else epochs,
        batch_size=min(rows, _LARGE, max(_SMALL, round(rows * _SHARE))) if batch == "auto" else batch,
        learning_rate_multiplier=1.0 if times == "auto" else float(times),
        beta=None if beta == "auto" else float(beta),
    )


def _epochs(rows: int) -> int:
    if rows * _TARGET_EPOCHS < _LEAST:
        return min(_MOST_EPOCHS, max(1, _LEAST // rows))
    if rows * _TARGET_EPOCHS > _MOST:
        return max(1, _MOST // rows)
    return _TARGET_EPOCHS


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """What a job's run is made from, beside the settings of its model."""

    name: str
    runs_dir: Path
    cache_dir: Path
    settings: Path
    """The file with the settings of the model and the method."""
    learning_rate: float
    """With a multiplier of 1."""
    ranks: int
    """A batch is a multiple of their number."""
    training: Path
    validation: Path | None
    seed: int
    rows: int
    decided: DecidedHyperparameters


def write_job_file(path: Path, job: JobFile) -> None:
    """Writes the file."""
    decided = job.decided
    batch = math.ceil(decided.batch_size / job.ranks) * job.ranks
    keys: dict[str, Any] = {
        "extends": str(job.settings),
        "name": job.name,
        "runs_dir": str(job.runs_dir),
        "cache_dir": str(job.cache_dir),
        "data": {
            "path": str(job.training),
            "eval_path": None if job.validation is None else str(job.validation),
        },
        "trainer": {
            "num_train_epochs": decided.n_epochs,
            "max_steps": -1,
            "eval_steps": "epoch" if job.validation else None,
            "learning_rate": job.learning_rate * decided.learning_rate_multiplier,
            **({} if decided.beta is None else {"beta": decided.beta}),
        },
        "batch": {"global_batch_size": batch, "micro_batch_size": micro_batch(batch, job.ranks)},
        "plugins": {
            "sharded_checkpoint": {"save_steps": max(1, math.ceil(job.rows / batch)), "keep_last": _KEPT}
        },
        "seed": job.seed,
    }
    write_text(path, yaml.safe_dump(keys, sort_keys=False))


def micro_batch(batch: int, ranks: int) -> int:
    """Rows per rank in one forward pass: at most 4, and a divisor of a rank's share of the batch."""
    share = batch // ranks
    return max(size for size in (1, 2, 3, 4) if share % size == 0)
