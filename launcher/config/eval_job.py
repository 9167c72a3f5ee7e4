"""The eval_job keys: evaluations on tasks while a run trains, each as a job of its own."""

from dataclasses import dataclass, field
from typing import Any, Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


@dataclass(kw_only=True)
class EvalJobConfig:
    """Evaluations of checkpoints on tasks of lm-evaluation-harness, which do not stop the ranks."""

    every: Optional[int] = None  # noqa: UP045
    """Optimizer steps between two evaluations, a multiple of plugins.sharded_checkpoint.save_steps: each evaluates the
    checkpoint of its step. null evaluates none."""
    tasks: list[str] = field(default_factory=list[str])
    """Tasks of lm-evaluation-harness: names, or paths of YAML files."""
    max_rows: Optional[int] = None  # noqa: UP045
    """Documents of each task that are evaluated, at most; null evaluates all."""
    few_shot: Optional[int] = None  # noqa: UP045
    """Solved examples before each document; null: as the task says."""
    chat: bool = False
    """Whether the prompts are rendered with the model's chat template."""
    metric: Optional[str] = None  # noqa: UP045
    """The figure by which keep_best chooses, as TASK/METRIC, such as hellaswag/acc_norm."""
    keep_best: int = 0
    """Number of checkpoints with the best metric that are kept, in addition to those that plugins.sharded_checkpoint keeps."""
    gpus: int = 1
    """GPUs of the job. Without a queue: of those of this machine that the run does not use; the CPU if there is none."""
    time: str = "01:00:00"
    """Time limit of one evaluation: minutes, HH:MM:SS or D-HH:MM:SS."""
    sbatch: dict[str, Any] = field(default_factory=dict[str, Any])
    """Options of the job that differ from cluster.sbatch, by their long names, such as {partition: small}."""
