"""A group of planned runs on one base model, led as the worker of a sweep leads it, without the job and its supervisor."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from launcher.run import RunDir
from launcher.run.events.supervisor import Started
from launcher.run.lanes import TRAIN, GroupOrders, LaneEnd, LaneOrder, read_end, write_orders
from tests.support.runs import Finished

_POLL_S = 0.05


def train_together(
    start: Callable[[Path], list[int]],
    group: Finished,
    runs: Sequence[Finished],
    *,
    mixed: bool = False,
    order: Callable[[int], str | None] = lambda number: TRAIN,
    tick: Callable[[], None] = lambda: None,
) -> tuple[list[int], dict[int, LaneEnd]]:
    """The exit codes that `start` returns of the group's rank, and how each run ended. `order`: what a run, by its place in
    `runs`, shall do now; None keeps it out of the group. `tick` is called again and again meanwhile."""
    place = RunDir(group.path)
    lanes = {number: _lane(number, run) for number, run in enumerate(runs)}
    ends: dict[int, LaneEnd] = {}
    over = threading.Event()
    attempt = place.attempts() + 1
    write_orders(place, GroupOrders(attempt=0))

    def lead() -> None:
        told = None
        while not over.is_set():
            for number, lane in lanes.items():
                if number not in ends and (end := read_end(place, number, lane.attempt)):
                    ends[number] = end
            now = {number: order(number) for number in lanes if number not in ends}
            open_lanes = [
                LaneOrder(
                    number=number, run=lanes[number].run, attempt=lanes[number].attempt, lease="lease", order=what
                )
                for number, what in now.items()
                if what is not None
            ]  # fmt: skip
            orders = GroupOrders(attempt=attempt, lanes=open_lanes, more=None in now.values(), mixed=mixed)
            if orders != told:
                write_orders(place, orders)
                told = orders
            tick()
            over.wait(_POLL_S)

    thread = threading.Thread(target=lead)
    thread.start()
    try:
        codes = start(group.path)
    finally:
        over.set()
        thread.join()
    for number, lane in lanes.items():
        if number not in ends and (end := read_end(place, number, lane.attempt)):
            ends[number] = end
    return codes, ends


def _lane(number: int, run: Finished) -> LaneOrder:
    """A new attempt of a run, which the worker has noted and whose lease it holds."""
    folder = RunDir(run.path)
    holder = {
        "cluster": "local",
        "job_id": None,
        "restart": 0,
        "host": "here",
        "pid": 1,
        "started": 1,
        "nonce": "lease",
    }
    Path(folder.lease).write_text(json.dumps(holder))
    attempt = folder.attempts() + 1
    folder.note(Started(attempt=attempt))
    return LaneOrder(number=number, run=str(run.path), attempt=attempt, lease="lease")
