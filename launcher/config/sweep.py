"""The sweep group: what many trials from one command search."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional, Union

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class Sampler(Enum):
    """How a sweep's values are chosen: every combination, or by one of Optuna's samplers."""

    grid = "grid"
    random = "random"
    tpe = "tpe"
    cmaes = "cmaes"
    qmc = "qmc"


class Pruner(Enum):
    """Which trials of a sweep end early, by one of Optuna's pruners."""

    none = "none"
    asha = "asha"
    hyperband = "hyperband"
    median = "median"


class Direction(Enum):
    """Which values of a sweep's objective are good."""

    minimize = "minimize"
    maximize = "maximize"


class Pass(Enum):
    """How the trials of a group compute on the base model that they share."""

    auto = "auto"
    turns = "turns"
    mixed = "mixed"


@dataclass(kw_only=True)
class SweepConfig:
    """What many trials from one command search, and when they stop. Of no effect without -m."""

    search: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys with the values to try, in Hydra's sweep syntax: "1e-4,1e-3", "choice(8,16)", "range(1,5)", "interval(0,1)",
    "tag(log, interval(1e-5,1e-2))", or a list. A value on the command line replaces that of the same key here."""
    objective: str = "eval_loss"
    """Key of metrics.jsonl by which trials are compared; its last value counts."""
    direction: Direction = Direction.minimize
    """Whether a small or a large value of the objective is better."""
    sampler: Sampler = Sampler.grid
    """`grid` tries every combination; the others are samplers of Optuna and try `trials` combinations."""
    pruner: Pruner = Pruner.none
    """Ends unpromising trials at an evaluation; `asha` is asynchronous successive halving."""
    reduction_factor: int = 3
    """With asha and hyperband: one of this many trials continues at each rung."""
    trials: Optional[int] = None  # noqa: UP045
    """How many trials a sampler may start; with null another budget must be set. A grid has no such limit."""
    gpu_hours: Optional[float] = None  # noqa: UP045
    """GPU-hours (with device=cpu, rank-hours) after which no trial starts; null is no limit."""
    deadline: Optional[str] = None  # noqa: UP045
    """Time after which no trial starts, such as 2026-11-30T08:00, in local time or with an offset; null is no limit."""
    parallel: Optional[int] = None  # noqa: UP045
    """Trials that run at the same time. null: on Slurm all of a grid or 4 of a sampler; on this machine 1."""
    together: Union[int, str] = 1  # noqa: UP007
    """Trials that train on one copy of the frozen base model, in one job: 1 gives each its own job, `auto` as many as fit a
    GPU. docs/howto/together.md says what must be equal among them, and which trials run alone."""
    together_pass: Pass = Pass.auto
    """How they share it: `turns`, a step of each in turn, with bit-identical losses to separate runs; `mixed`, the rows of all
    trials in one forward pass. `auto` is `mixed` if a batch is too small to use the device well, and it fits."""
    fail_fast: bool = False
    """Whether the first trial that fails ends the others."""
    seed: int = 0
    """Random seed of the sampler."""
