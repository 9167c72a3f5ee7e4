"""The facts of a run from which its page is made: the contents of its files, read by the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from launcher.run.events import Event
from launcher.run.metrics import Line

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run's files as values. Any key in them can be missing, because another version may have written them."""

    name: str
    run_dir: str
    plan: Mapping[str, Any]
    events: Sequence[Event]
    metrics: Sequence[Line]
    data_check: Sequence[Mapping[str, Any]]
    status: Mapping[str, Any]
    """The output of `status --json`."""
    overrides: Sequence[str]
    """The overrides of the command line."""
    export: Sequence[tuple[str, int]]
    """(name, bytes) of the files of the exported model."""
    written: str
    """Time at which the page is made, ISO 8601."""
    version: str

    def of(self, kind: type[E]) -> list[E]:
        """The events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type[E]) -> E | None:
        """The newest event of a kind."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty mapping."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def listing(value: Any) -> Sequence[Any]:
    """`value` if it is a list or tuple, else an empty tuple."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else ()


def at(value: Any, *keys: str) -> Any:
    """value[key][key]...; None if one of the keys is missing."""
    for key in keys:
        value = mapping(value).get(key)
    return value
