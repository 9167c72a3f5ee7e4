"""What is known of a run before its page is made: the contents of its files, read by the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run's files as values. Every key in them may be missing: another version may have written them."""

    name: str
    run_dir: str
    plan: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    metrics: Sequence[Mapping[str, Any]]
    data_check: Sequence[Mapping[str, Any]]
    status: Mapping[str, Any]
    """What `status --json` says."""
    overrides: Sequence[str]
    """What was typed."""
    export: Sequence[tuple[str, int]]
    """(name, bytes) of the files of the result."""
    written: str
    """When the page is made, ISO 8601."""
    version: str

    def of(self, *names: str) -> list[Mapping[str, Any]]:
        """The events of these names, oldest first."""
        return [event for event in self.events if event["event"] in names]

    def last(self, name: str) -> Mapping[str, Any] | None:
        """The newest event of that name."""
        found = self.of(name)
        return found[-1] if found else None


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is a mapping, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def listing(value: Any) -> Sequence[Any]:
    """`value` where it is a list, else an empty one."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def seconds(time: str) -> float:
    """Seconds since 1970 of an ISO 8601 time."""
    return datetime.fromisoformat(time).timestamp()


def at(value: Any, *keys: str) -> Any:
    """value[key][key]...; None as soon as one is not there."""
    for key in keys:
        value = mapping(value).get(key)
    return value
