"""python -m launcher sync [RUN]: sends a run's offline tracker files to the tracker."""

import argparse
import os
from pathlib import Path
from typing import TypedDict

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit, RunError, UsageError
from launcher.output import print_json, print_text
from launcher.packages import missing
from launcher.run import RunDir, list_runs
from launcher.status.state import read_status
from launcher.trackers.base import Tracker
from launcher.trackers.registry import TRACKERS
from launcher.units import plural


class SyncRow(TypedDict):
    """The offline tracker files of a run."""

    run: str
    """name/date_time."""
    attempts: int
    """How many attempts had files to send."""
    error: str | None
    """Why they were not sent; null if they were."""


class Synced(TypedDict):
    """What was sent to the trackers."""

    runs: list[SyncRow]
    """A row per run and tracker that had something to send."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--all", action="store_true", help="for every run under --runs-dir, including trials of sweeps"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code; 1 if something could not be sent; another call sends it."""
    if options.all and options.run:
        raise UsageError(f"sync {options.run} --all: name a run, or give --all")
    runs = list_runs(options.runs_dir.absolute()) if options.all else [chosen_run(options)]
    waiting = [
        (run, tracker, found)
        for run in runs
        for tracker in TRACKERS.all()
        if (found := tracker.unsent(run.path))
    ]
    if not options.all and waiting and is_at_work(runs[0]):
        raise RunError(
            f"{runs[0].name} is still running and its files grow; repeat the command when it has ended"
        )
    for tracker in {id(tracker): tracker for _, tracker, _ in waiting}.values():
        _check_possible(tracker, sum(one is tracker for _, one, _ in waiting))
    rows = [_send(*one) for one in waiting if not is_at_work(one[0])]
    _tell(options.json, rows)
    return Exit.OK if all(row["error"] is None for row in rows) else Exit.REFUSED


def is_at_work(run: RunDir) -> bool:
    """Whether an attempt can still be writing: a partly sent file would count as sent."""
    return read_status(run).state in (RunState.PENDING, RunState.RUNNING)


def _check_possible(tracker: Tracker, runs: int) -> None:
    for package in missing(tracker.packages):
        raise RunError(f"sync needs {package.name}, which is not installed here; {package.install}")
    why = tracker.why_unsendable(os.environ)
    if why is not None:
        reason, _, way = why.partition("; ")
        raise RunError(
            f"{reason}, so {plural(runs, 'run')} cannot be sent; {way}; the files stay where they are"
        )


def _send(run: RunDir, tracker: Tracker, found: list[Path]) -> SyncRow:
    return {"run": run.name, "attempts": len(found), "error": tracker.send(run.path, found, os.environ)}


def _tell(as_json: bool, rows: list[SyncRow]) -> None:
    if as_json:
        result: Synced = {"runs": rows}
        print_json(result)
        return
    for row in rows:
        outcome = (
            f"not sent: {row['error']}" if row["error"] else f"sent, {plural(row['attempts'], 'attempt')}"
        )
        print_text(f"{row['run']}  {outcome}")
    if not rows:
        print_text("there is nothing to send")


VERB = Verb(
    line="send the offline tracker files of a run, under its one id",
    about="Attempts that were already sent are skipped.",
    example="sync llama8b_lora",
    add=_add,
    run=_run,
    prints=Synced,
    group="runs",
)
