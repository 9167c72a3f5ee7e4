"""The tracker group: where metrics go beside metrics.jsonl."""

from dataclasses import dataclass
from enum import Enum


class TrackerKind(Enum):
    """Where metrics go beside metrics.jsonl."""

    none = "none"
    wandb = "wandb"
    tensorboard = "tensorboard"


@dataclass(kw_only=True)
class TrackerConfig:
    """Where metrics go beside the run dir's metrics.jsonl."""

    kind: TrackerKind = TrackerKind.none
    """Experiment tracker that receives the metrics, beside metrics.jsonl."""
    project: str = "launcher"
    """Project at the tracker to which the run belongs."""
