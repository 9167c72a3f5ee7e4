"""No tracker: metrics.jsonl in the run dir alone."""

from typing import ClassVar

from launcher.trackers.base import Tracker


class Nothing(Tracker):
    """Tracks nothing."""

    says: ClassVar[str] = "metrics.jsonl in the run dir alone"
    report_to: ClassVar[str | None] = "none"


SPEC = Nothing()
