"""No tracker: metrics are only in metrics.jsonl of the run dir."""

from collections.abc import Mapping
from typing import ClassVar

from launcher.trackers.base import Number, Tracked, Tracker


class Nothing(Tracker):
    """Tracks nothing."""

    says: ClassVar[str] = "only metrics.jsonl in the run dir"
    report_to: ClassVar[str | None] = "none"
    several_runs: ClassVar[bool] = True

    def add_figures(
        self, run: Tracked, step: int, values: Mapping[str, Number], environ: Mapping[str, str]
    ) -> str | None:
        """None."""
        del run, step, values, environ


SPEC = Nothing()
