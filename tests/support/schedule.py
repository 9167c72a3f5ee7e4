"""Threads that run one at a time, in an order that a seed gives: each stops before every change of the file system.

Python's audit events tell of these changes (docs.python.org, "Audit events table"), so that the code under test is as it is.
"""

import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_STOPS = {"open", "os.rename", "os.link", "os.remove", "os.scandir", "os.listdir"}


class Killed(BaseException):
    """Ends a thread as SIGKILL ends a process: it does nothing more in the file system."""


class Schedule:
    """One run of some threads."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.killed: set[str] = set()
        self.ended: dict[str, object] = {}
        """Thread -> what its function returned, or the exception that ended it."""
        self._turns: dict[str, threading.Semaphore] = {}
        self._back = threading.Semaphore(0)

    def run(
        self, threads: dict[str, Callable[[], object]], look: Callable[[], None], kill: str | None = None
    ) -> None:
        """Runs all threads to their end. `look` is called before each change; `kill`: one that is killed at a random one."""
        _schedules.append(self)
        left = self.chance.randrange(1, 12) if kill else -1
        try:
            for name, function in threads.items():
                self._turns[name] = threading.Semaphore(0)
                threading.Thread(target=self._live, args=(function,), name=name, daemon=True).start()
            while waiting := [name for name in threads if name not in self.ended]:
                name = self.chance.choice(waiting)
                left -= name == kill
                if left == 0 and kill is not None:
                    self.killed.add(kill)
                self._turns[name].release()
                assert self._back.acquire(timeout=20), f"{name} does not come to its next change"
                look()
        finally:
            _schedules.remove(self)

    def stop(self, event: str, path: str) -> None:
        """Called before each change, in the thread that makes it."""
        name = threading.current_thread().name
        if name in self._turns and path.startswith(str(self.folder)):
            self._wait(name)

    def _live(self, function: Callable[[], object]) -> None:
        name = threading.current_thread().name
        try:
            self._turns[name].acquire()
            self.ended[name] = function()
        except BaseException as error:  # also Killed
            self.ended[name] = error
        finally:
            self._back.release()

    def _wait(self, name: str) -> None:
        if name not in self.killed:
            self._back.release()
            self._turns[name].acquire()
        if name in self.killed:
            raise Killed


_schedules: list[Schedule] = []


def _hook(event: str, values: tuple[object, ...]) -> None:
    if _schedules and event in _STOPS:
        for schedule in list(_schedules):
            schedule.stop(event, str(values[0]))


sys.addaudithook(_hook)
