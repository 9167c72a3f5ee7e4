"""The files by which the worker of a group of trials and the group's rank talk: what each trial shall do, and how it ended.

The group's folder is the run dir of its job. Each trial has an ordinary run dir of its own, and a lane of the rank.

    lanes.json              written by the worker: the trials that shall train
    ended/N.A.json          written by the rank: how attempt A of trial N ended
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run.dir import RunDir
from launcher.run.lines import write_text
from launcher.run.record import is_kind

TRAIN, PRUNE, CANCEL = "train", "prune", "cancel"
"""What a trial shall do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOrder:
    """One trial of a group."""

    number: int
    """The trial's number in its sweep."""
    run: str
    """Its run dir."""
    attempt: int
    """Its attempt, counted as in any run."""
    lease: str
    """The nonce of the lease of its run dir."""
    order: str = TRAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOrders:
    """What the rank of a group shall train."""

    attempt: int
    """The group's own attempt for which this is written; an earlier one is not obeyed."""
    lanes: Sequence[LaneOrder] = ()
    more: bool = True
    """Whether further trials may follow, for which the rank waits."""
    mixed: bool = False
    """Whether the rows of all trials go through the base model in one pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneEnd:
    """How an attempt of one trial ended."""

    how: str
    """A value of launcher.run.events.base.How."""
    exit_code: int = 0
    reason: str = ""


def lanes_file(group: RunDir) -> Path:
    """The worker's orders. The folder of a run that is not a group has no such file."""
    return group.path / "lanes.json"


def write_orders(group: RunDir, order: GroupOrders) -> None:
    """Replaces the orders of a group."""
    write_text(lanes_file(group), json.dumps(asdict(order), indent=1) + "\n", durable=True)


def read_orders(group: RunDir) -> GroupOrders | None:
    """The orders of a group; None before the worker has written any. RunError for a file that was edited."""
    try:
        value = read_json(lanes_file(group))
    except FileNotFoundError:
        return None
    lanes = cast("dict[str, Any]", value).get("lanes") if isinstance(value, dict) else None
    if not isinstance(lanes, list):
        raise RunError(f"{lanes_file(group)} is not a list of trials; was it edited?")
    whole = _made(GroupOrders, {**cast("dict[str, Any]", value), "lanes": ()}, lanes_file(group))
    found = [_made(LaneOrder, one, lanes_file(group)) for one in cast("list[Any]", lanes)]
    return GroupOrders(attempt=whole.attempt, lanes=found, more=whole.more, mixed=whole.mixed)


def write_end(group: RunDir, lane: LaneOrder, end: LaneEnd) -> None:
    """Tells the worker how an attempt of a trial ended."""
    path = _end_file(group, lane.number, lane.attempt)
    path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps(asdict(end)) + "\n", durable=True)


def read_end(group: RunDir, number: int, attempt: int) -> LaneEnd | None:
    """How that attempt of a trial ended; None while it trains."""
    path = _end_file(group, number, attempt)
    try:
        return _made(LaneEnd, read_json(path), path)
    except FileNotFoundError:
        return None


def _end_file(group: RunDir, number: int, attempt: int) -> Path:
    return group.path / "ended" / f"{number}.{attempt}.json"


def _made(kind: type[Any], value: Any, path: Path) -> Any:
    known = {one.name: one.type for one in fields(kind)}
    values = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    plain = {"int": int, "str": str, "bool": bool}
    wrong = [
        name
        for name, one in values.items()
        if name not in known or (str(known[name]) in plain and not is_kind(one, plain[str(known[name])]))
    ]
    try:
        if not wrong and values:
            return kind(**values)
    except TypeError:
        pass
    raise RunError(f"{path} is not what the launcher wrote; was it edited?")
