"""All trackers by name."""

from launcher.registry import Registry
from launcher.trackers.base import Tracker

TRACKERS = Registry(
    kind="tracker",
    key="tracker.kind",
    package="launcher.trackers",
    group="launcher.trackers",
    spec=Tracker,
    skipped=frozenset({"base", "describe", "host", "registry"}),
)
