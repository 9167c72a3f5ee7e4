"""python -m launcher sync [RUN]: sends to Weights & Biases what runs without a network kept here."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit, RunError, UsageError
from launcher.run import RunDir, list_runs
from launcher.status.state import read_status
from launcher.tracker_host import answers, why_unreachable
from launcher.units import plural

_HEADER_BYTES = 7
"""Of a .wandb file: `:W&B`, two bytes of magic and one of version, as wandb 0.31 writes them."""
_LIMIT_S = 3600
_SHOWN = 300


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--all", action="store_true", help="of every run under --runs-dir, sweeps' trials included"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code; 1 where something could not be sent, which another call then sends."""
    if options.all and options.run:
        raise UsageError(f"sync {options.run} --all: name a run, or give --all")
    runs = list_runs(options.runs_dir.absolute()) if options.all else [chosen_run(options)]
    waiting = {run.name: found for run in runs if (found := unsent(run))}
    if not options.all and waiting and is_at_work(runs[0]):
        raise RunError(f"{runs[0].name} is still running and its files grow; type it again when it has ended")
    if not waiting:
        _tell(options.json, [])
        return Exit.OK
    _check_possible(len(waiting))
    rows = [_send(run, waiting[run.name]) for run in runs if run.name in waiting and not is_at_work(run)]
    _tell(options.json, rows)
    return Exit.OK if all(row["error"] is None for row in rows) else Exit.REFUSED


def unsent(run: RunDir) -> list[Path]:
    """Folders of offline attempts that were not sent yet, oldest first. wandb puts a .synced file beside what it has sent.

    An attempt that was killed before wandb wrote its first record has nothing to send, and wandb's command fails over it.
    """
    folders = sorted((run.path / "wandb").glob("offline-run-*"))
    return [one for one in folders if _holds_records(one) and not any(one.glob("*.wandb.synced"))]


def _holds_records(folder: Path) -> bool:
    return any(file.stat().st_size > _HEADER_BYTES for file in folder.glob("*.wandb"))


def is_at_work(run: RunDir) -> bool:
    """Whether an attempt may still be writing: what is sent half would count as sent."""
    return read_status(run).state in (RunState.PENDING, RunState.RUNNING)


def _check_possible(runs: int) -> None:
    if importlib.util.find_spec("wandb") is None:
        raise RunError(f"sync needs wandb, which {sys.executable} has not; pip install wandb")
    why = why_unreachable(os.environ, answers)
    if why is not None:
        way = "set it in your shell" if "WANDB_API_KEY" in why else "type it where there is a network"
        raise RunError(
            f"{why}, so {plural(runs, 'run')} cannot be sent; {way}, the files stay where they are"
        )


def _send(run: RunDir, folders: list[Path]) -> dict[str, Any]:
    """Hands the attempts to wandb's own command; the key comes from the environment and is on no command line."""
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    try:
        done = subprocess.run(
            command, cwd=run.path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S
        )  # fmt: skip
        said = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        failed = done.returncode != 0 or len(unsent(run)) > 0
    except subprocess.TimeoutExpired:
        said, failed = [f"it took more than {_LIMIT_S} s"], True
    error = (said[-1] if said else "wandb sync failed")[:_SHOWN] if failed else None
    return {"run": run.name, "attempts": len(folders), "error": error}


def _tell(as_json: bool, rows: list[dict[str, Any]]) -> None:
    if as_json:
        print(json.dumps({"runs": rows}))
        return
    for row in rows:
        said = f"not sent: {row['error']}" if row["error"] else f"sent, {plural(row['attempts'], 'attempt')}"
        print(f"{row['run']}  {said}")
    if not rows:
        print("nothing waits to be sent")


VERB = Verb(
    line="send the offline tracker files of a run, under its one id",
    about="What was sent already is left out.",
    example="sync llama8b_lora",
    add=_add,
    run=_run,
    group="runs",
)
