"""No tracker: metrics are only in metrics.jsonl of the run dir."""

from typing import ClassVar

from launcher.trackers.base import Tracker


class Nothing(Tracker):
    """Tracks nothing."""

    says: ClassVar[str] = "only metrics.jsonl in the run dir"
    report_to: ClassVar[str | None] = "none"
    several_runs: ClassVar[bool] = True


SPEC = Nothing()
