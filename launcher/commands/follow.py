"""python -m launcher follow [RUN]: a run's progress, from its own files, until it is over."""

import argparse
import signal
import subprocess
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit
from launcher.run import RunDir
from launcher.status.state import is_over, read_status

_POLL_S = 0.2
_STATE_EVERY_S = 3.0
_PLAIN_EVERY_S = 10.0


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code: 0 for a finished run. Ctrl-C ends the showing, not the run."""
    run = chosen_run(options)
    asked = 0.0

    def ended() -> int | None:
        nonlocal asked
        if time.monotonic() - asked < _STATE_EVERY_S:
            return None
        asked = time.monotonic()
        state = read_status(run).state
        if not is_over(state) and state is not RunState.PLANNED:
            return None
        return Exit.OK if state is RunState.FINISHED else Exit.FAILED

    code = show(run, ended, Console(quiet=options.json), all_of_it=True)
    if options.json:
        print(read_status(run).to_json())
    return code


def follow_process(run: RunDir, process: subprocess.Popen[bytes], *, quiet: bool) -> int:
    """The exit code of a job on this machine. Ctrl-C and SIGTERM are passed on, and the ranks end before this does."""
    stopped = Exit.OK

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)

    def ended() -> int | None:
        code = process.poll()
        return code if code is None or code >= 0 else 128 - code

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    code = show(run, ended, Console(quiet=quiet), all_of_it=False)
    return stopped or code


def show(run: RunDir, ended: Callable[[], int | None], console: Console, *, all_of_it: bool) -> int:
    """What `ended` says once it says something; until then a progress bar, or lines where there is no terminal.

    Without `all_of_it`, what earlier attempts wrote is not shown again.
    """
    view = View(run, console, all_of_it)
    with view.progress:
        while (code := ended()) is None:
            view.update()
            time.sleep(_POLL_S)
        view.update()
    view.finish(code)
    return code


class View:
    """What a person sees of one run."""

    def __init__(self, run: RunDir, console: Console, all_of_it: bool) -> None:
        self.run, self.console = run, console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("starting", total=1, numbers="")
        self.events_seen = self.metrics_seen = 0
        self.last_plain = 0.0
        self.crashed = False
        self.began = time.monotonic()
        if not all_of_it and run.attempts():
            self.events_seen, self.metrics_seen = len(run.read_events()), len(run.read_metrics())

    def update(self) -> None:
        """Shows what has been written since the last call."""
        events = self.run.read_events()
        for event in events[self.events_seen :]:
            self._event(event)
        self.events_seen = len(events)
        metrics = self.run.read_metrics()
        lines = [line for line in metrics[self.metrics_seen :] if "loss" in line]
        self.metrics_seen = len(metrics)
        if lines:
            self._metrics(lines[-1])

    def _event(self, event: dict[str, Any]) -> None:
        name = event["event"]
        if name == "started":
            self.crashed = False
            self.progress.update(self.task, description="loading")
        elif name == "tokenizing":
            self.progress.update(self.task, description="tokenizing")
        elif name == "training":
            self.progress.update(
                self.task, description="training", total=event["total_steps"], completed=event["step"]
            )
        elif name == "resumed":
            self._say(f"resumed from {event['checkpoint']}")
        elif name == "evaluated":
            when = {"before": " before training", "after": " after training"}.get(event["when"], "")
            self._say(f"evaluation loss{when}: {event['eval_loss']:.4f}")
        elif name == "general":
            said = (
                f"{event['increase']:.3g} times that before"
                if event["when"] != "before"
                else "before training"
            )
            self._say(f"general text at step {event['step']}: perplexity {event['perplexity']:.4g}, {said}")
        elif name == "early_stopped":
            self._say(
                f"stopped early at step {event['step']}: {event['metric']} was best at step {event['best_step']}"
            )
        elif name == "restored":
            self._say(f"back to the weights of step {event['step']}: {event['why']}")
        elif name == "sample":
            if event["when"] == "before":
                self._say(f"question: {event['prompt']}")
            self._say(f"answer {event['when']}: {event['answer']}", style="dim")
        elif name == "crashed" and not self.crashed:
            self.crashed = True
            self._say(f"rank {event['rank']} on {event['host']}: {event['error']}", style="red")
        elif name == "ended" and not (self.crashed and event["how"] == "crashed"):
            self.crashed = True
            self._say(f"attempt {event['attempt']} {event['how']}: {event['reason']}", style="red")
        elif name == "stopped" and not self.crashed:
            self._say(f"stopped: {event['reason']}", style="red")
        elif name == "requeued":
            self._say(f"queued again: {event['reason']}")

    def _metrics(self, line: dict[str, Any]) -> None:
        numbers = f"loss {line['loss']:.3f}  {line['tokens_per_s']:,.0f} tokens/s"
        if line.get("mfu") is not None:
            numbers += f"  MFU {line['mfu']:.0%}"
        self.progress.update(self.task, completed=line["step"], total=line["total_steps"], numbers=numbers)
        if not self.console.is_terminal and time.monotonic() - self.last_plain > _PLAIN_EVERY_S:
            self.last_plain = time.monotonic()
            left = self.progress.tasks[0].time_remaining
            said = "" if left is None else f"  {left:.0f} s left"
            self._say(f"step {line['step']}/{line['total_steps']}  {numbers}{said}")

    def finish(self, code: int) -> None:
        """The last lines: where the result is and what to type next, or where to look."""
        seconds = time.monotonic() - self.began
        if code:
            self._say(f"stopped after {seconds:.0f} s with exit code {code}")
            self._say(f"next  python -m launcher logs {self.run.name}")
            return
        self._say(f"finished in {seconds:.0f} s")
        self._say(f"model {self.run.export}")
        for label, command in (
            ("next ", f"python -m launcher status {self.run.name}"),
            ("     ", "python -m launcher +experiment=quickstart data.path=your.jsonl data.eval_path=null"),
            ("     ", "python -m launcher plan +experiment=llama70b_qlora"),
        ):
            self._say(f"{label} {command}")

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True, style=style)


VERB = Verb(
    line="show a run's progress until it is over",
    about="Ctrl-C ends the showing, not the run.",
    example="follow quickstart",
    add=_add,
    run=_run,
    group="runs",
)
