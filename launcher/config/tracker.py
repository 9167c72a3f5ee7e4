"""The tracker group: where metrics go in addition to metrics.jsonl."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class TrackerConfig:
    """Where metrics go in addition to the run dir's metrics.jsonl."""

    kind: str = "none"
    """Name of the tracker that receives the metrics, in addition to metrics.jsonl."""
    project: str = "launcher"
    """Project at the tracker to which the run belongs."""
