"""events.jsonl: what happened to a run, a line per event, a dataclass per kind of event.

The kinds are in launching, supervisor, ranks, results and checkpoints. A module is imported when a kind of it is
written or read.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from launcher.run.events.base import VERSION, Event, Other
from launcher.run.lines import LineReader, is_time

__all__ = ["VERSION", "Event", "EventReader", "Other", "all_kinds", "make", "parse"]

E = TypeVar("E", bound=Event)
_MODULES = ["supervisor", "launching", "checkpoints", "ranks", "results"]
_known: dict[str, type[Event]] = {}
_loaded: list[str] = []


def all_kinds() -> list[type[Event]]:
    """Every kind of event that this version writes, in the order of their modules."""
    while len(_loaded) < len(_MODULES):
        _load_next()
    return list(_known.values())


def parse(value: Mapping[str, Any]) -> Event | None:
    """The event in a line's JSON object; None if the line is not an event."""
    name = value.get("event")
    if not isinstance(name, str):
        return None
    kind = _kind(name)
    facts: dict[str, Any] = {"attempt": 0, "time": "", **value}
    del facts["event"]
    facts.pop("v", None)
    own: dict[str, Any] = {}
    if kind is not None:
        own = kind.renewed({key: facts[key] for key in facts if key in kind.FIELDS and key != "more"})
    if kind is None or not own.keys() >= kind.REQUIRED or kind.find_wrong(own):
        return Other(attempt=facts.pop("attempt"), time=facts.pop("time"), name=name, more=facts)
    return kind(**own, more={key: value for key, value in facts.items() if key not in own})


def make(kind: str, *, attempt: int, **facts: Any) -> Event:
    """An event that is not written yet: of the kind of that name, or Other."""
    event = parse({**facts, "event": kind, "attempt": attempt})
    assert event is not None
    return event


class EventReader(LineReader[Any], Generic[E]):
    """Reads a growing events.jsonl: each read returns the events that were appended since the previous one."""

    def __init__(self, path: Path, *kinds: type[E]) -> None:
        """`kinds`: the only ones to return; without it, all."""
        super().__init__(path, _whole)
        self._names = {kind.KIND for kind in kinds}
        self._kinds = kinds

    def read(self) -> list[E]:
        """The new events, oldest first. Damaged lines are left out, as torn lines are: every event is written with a time,
        and one without a time has no place in the run."""
        lines = super().read()
        if self._names:
            lines = [line for line in lines if line["event"] in self._names]
        found: list[Any] = [event for line in lines if (event := parse(line)) is not None]
        return [event for event in found if isinstance(event, self._kinds)] if self._kinds else found


def _whole(line: dict[str, Any]) -> dict[str, Any] | None:
    """The line if it has a time, a kind that is a word, and an attempt that is a number if it has one."""
    named = bool(line.get("time")) and isinstance(line.get("event"), str)
    return line if named and Event.find_wrong(line) is None and is_time(line["time"]) else None


def _kind(name: str) -> type[Event] | None:
    while name not in _known and len(_loaded) < len(_MODULES):
        _load_next()
    return _known.get(name)


def _load_next() -> None:
    name = _MODULES[len(_loaded)]
    module = import_module(f"{__name__}.{name}")
    kinds = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Event)]
    _known.update({kind.KIND: kind for kind in kinds if kind is not Event})
    _loaded.append(name)
