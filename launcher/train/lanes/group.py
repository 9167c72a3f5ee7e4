"""The loop of a group: it obeys the worker's orders, lets every lane train, and reports how each lane ended.

A lane that fails ends alone. What ends the whole rank, such as a full GPU in a pass over all rows, ends the attempt of all
lanes, and each resumes from its newest checkpoint.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from transformers.utils import logging as transformers_logging

from launcher import environment
from launcher.data.places import fix_files
from launcher.errors import DISK_FULL, Exit, LauncherError, RunError
from launcher.masking import mask
from launcher.plugins.decide import Decided
from launcher.run import RunDir
from launcher.run.events.base import How
from launcher.run.events.ranks import Crashed, Working
from launcher.run.lanes import CANCEL, PRUNE, GroupOrders, LaneEnd, LaneOrder, read_orders, write_end
from launcher.train.heartbeat import Heartbeat
from launcher.train.lanes.lane import Lane
from launcher.train.lanes.mixed import Mixed, why_not_mixed
from launcher.train.model import load_model
from launcher.train.session import check_device, serve_store
from launcher.train.strategies.base import on_rank

_POLL_S = 0.1
_ORDERS_S = 300.0
"""Seconds to wait for the worker's first orders of an attempt."""


def train_group(run: RunDir, decided: Decided, heartbeat: Heartbeat) -> Exit:
    """The exit code of the rank, after all lanes have ended; SHUT_DOWN if it was told to shut down, and they have saved."""
    heartbeat.phase("load")
    config, plan = decided.config, decided.plan
    fix_files(plan.facts.data_files)
    check_device(plan)
    attempt = int(os.environ.get(environment.ATTEMPT, "1"))
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    store = serve_store()
    on_rank(plan.strategy).before_ranks_meet(plan)
    run.note(Working(attempt=attempt, on="load"))
    base = load_model(config.model, plan, decided.plugins, config.seed, hooks=("on_load",))
    code = Group(run, base, heartbeat, attempt).train()
    del store
    return code


class Group:
    """The lanes of a rank."""

    def __init__(self, run: RunDir, base: Any, heartbeat: Heartbeat, attempt: int) -> None:
        self.run, self.base, self.heartbeat, self.attempt = run, base, heartbeat, attempt
        self.lanes: list[Lane] = []
        self.mixed: Mixed | None = None
        self._begun: set[tuple[int, int]] = set()
        """(trial, attempt) of every lane that has begun."""
        self._mixes: dict[Lane, bool] = {}
        """Whether a lane's rows can be mixed with those of others."""

    def train(self) -> Exit:
        """The exit code of the rank."""
        orders = self._first_orders()
        while True:
            orders = read_orders(self.run) or orders
            self._obey(orders)
            if self.heartbeat.shutdown_requested():
                return self._shut_down()
            if self.lanes:
                self._step(mixed=orders.mixed)
            elif not orders.more and not orders.lanes:
                return Exit.OK
            else:
                self.heartbeat.phase("save", self.heartbeat.step)
                time.sleep(_POLL_S)

    def _first_orders(self) -> GroupOrders:
        deadline = time.monotonic() + _ORDERS_S
        while True:
            orders = read_orders(self.run)
            if orders is not None and orders.attempt == self.attempt:
                return orders
            if time.monotonic() > deadline:
                raise RunError(
                    f"{self.run.path}: no worker has told this rank within {_ORDERS_S:.0f} s what to train; resume the sweep "
                    "with python -m launcher sweep resume"
                )
            time.sleep(_POLL_S)

    def _obey(self, orders: GroupOrders) -> None:
        """Ends the lanes that the orders end, and begins new ones."""
        for order in orders.lanes:
            lane = next((one for one in self.lanes if _same(one.order, order)), None)
            if lane is not None and order.order == PRUNE:
                self._end(lane, LaneEnd(how=How.CUT.value), lane.stop)
            elif lane is not None and order.order == CANCEL:
                self._end(lane, LaneEnd(how=How.SHUT_DOWN.value), lambda lane=lane: _save_and_stop(lane))
            elif lane is None and (order.number, order.attempt) not in self._begun:
                self._begin(order)

    def _begin(self, order: LaneOrder) -> None:
        self._begun.add((order.number, order.attempt))
        made: list[Lane] = []
        if self._guard(order, lambda: made.append(Lane(order, self.base, self.heartbeat))):
            self.lanes += made
            if self.mixed is not None and self._can_mix(made[0]):
                self.mixed.add(made[0])

    def _step(self, *, mixed: bool) -> None:
        """A step of every lane, and the end of those that have no step left."""
        going = [lane for lane in self.lanes if not lane.is_over]
        mixable = [lane for lane in going if mixed and self._can_mix(lane)]
        if mixable:
            self._step_mixed(mixable)
        for lane in going:
            if lane not in mixable:
                self._run(lane, lane.turn)
        for lane in [one for one in self.lanes if one.is_over]:
            self._end(lane, LaneEnd(how=How.FINISHED.value), lane.finish)

    def _step_mixed(self, going: list[Lane]) -> None:
        if self.mixed is None:
            self.mixed = Mixed(going[0])
            for lane in filter(self._can_mix, self.lanes):
                self.mixed.add(lane)
        taken: list[tuple[Lane, list[Any], Any]] = []
        for lane in going:
            self._run(lane, lambda lane=lane: taken.append((lane, *lane.take())))
        taken = [one for one in taken if one[1]]
        if taken:
            self.mixed.compute_gradients(taken)
        for lane, _, _ in taken:
            self._run(lane, lane.complete)

    def _can_mix(self, lane: Lane) -> bool:
        if lane not in self._mixes:
            why = why_not_mixed(lane)
            self._mixes[lane] = why is None
            if why:
                print(
                    f"launcher: warning: trial {lane.order.number} takes turns with the others: {why}",
                    flush=True,
                )
        return self._mixes[lane]

    def _run(self, lane: Lane, what: Callable[[], object]) -> None:
        """Calls `what` for a lane. If it fails, only this lane ends."""
        if not self._guard(lane.order, what):
            self._forget(lane)

    def _end(self, lane: Lane, end: LaneEnd, what: Callable[[], object]) -> None:
        """Ends a lane by calling `what`, and reports how it ended."""
        if self._guard(lane.order, what):
            write_end(self.run, lane.order, end)
        self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        if self.mixed is not None:
            self.mixed.remove(lane)
        self._mixes.pop(lane, None)
        self.lanes = [one for one in self.lanes if one is not lane]

    def _guard(self, order: LaneOrder, what: Callable[[], object]) -> bool:
        """Whether `what` succeeded. A failure is recorded in the trial's run dir, as a rank records its own, and reported."""
        try:
            what()
            return True
        except LauncherError as error:
            code, why, lines = int(error.exit_code), str(error), list[str]()
            print(mask(f"launcher: trial {order.number}: {error}"), file=sys.stderr, flush=True)
        except Exception as error:
            full = isinstance(error, OSError) and error.errno in DISK_FULL
            code = int(Exit.SAVE_FAILED if full else _code_of(error))
            why, lines = f"{type(error).__name__}: {error}", traceback.format_exc().splitlines()[-12:]
            print(mask(traceback.format_exc()), file=sys.stderr, end="", flush=True)
        host = socket.gethostname()
        crashed = Crashed(attempt=order.attempt, host=host, rank=0, error=why[:2000], traceback=lines)
        RunDir(Path(order.run)).note(crashed)
        write_end(self.run, order, LaneEnd(how=How.CRASHED.value, exit_code=code, reason=crashed.told))
        return False

    def _shut_down(self) -> Exit:
        """SHUT_DOWN, after every lane has saved."""
        for lane in list(self.lanes):
            self.heartbeat.phase("save", self.heartbeat.step)
            self._run(lane, lambda lane=lane: _save_and_stop(lane))
        return Exit.SHUT_DOWN


def _save_and_stop(lane: Lane) -> None:
    lane.save("told")
    lane.stop()


def _code_of(error: Exception) -> Exit:
    return Exit.OUT_OF_MEMORY if type(error).__name__ == "OutOfMemoryError" else Exit.FAILED


def _same(one: LaneOrder, other: LaneOrder) -> bool:
    return (one.number, one.attempt) == (other.number, other.attempt)
