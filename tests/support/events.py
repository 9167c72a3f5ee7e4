"""Events, metrics and histories from the texts of their files."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.run.events import Event, parse
from launcher.run.history import History
from launcher.run.metrics import Line, parse_metrics


def events_of(lines: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The events in these lines."""
    return [event for line in lines if (event := parse(line)) is not None]


def metrics_of(lines: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The metrics in these lines."""
    return [metrics for line in lines if (metrics := parse_metrics(line)) is not None]


def history_of(events: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]] = ()) -> History:
    """The history that these lines tell."""
    return History.of(events_of(events), metrics_of(metrics))
