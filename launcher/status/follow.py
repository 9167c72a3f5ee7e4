"""Shows a run's progress while it runs. Each update reads only what the run has written since the last one."""

import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from launcher.clusters.base import RunState
from launcher.errors import Exit, RunError
from launcher.methods.registry import find_method
from launcher.output import make_console, visible
from launcher.resources import resource_dir
from launcher.run import RunDir
from launcher.run.events import Event, EventReader
from launcher.run.events.base import How
from launcher.run.events.checkpoints import Resumed
from launcher.run.events.ranks import (  # fmt: skip
    Crashed,
    EarlyStopped,
    Restored,
    Tokenizing,
    Training,
    Working,
)
from launcher.run.events.results import Classified, Evaluated, Exported, General, Sample
from launcher.run.events.supervisor import Ended, Requeued, Started, Stopped
from launcher.run.history import History, HistoryReader
from launcher.run.metrics import Logged, MetricsReader
from launcher.run.totals import ended_by
from launcher.status.record import failed_check
from launcher.status.state import is_over, read_status
from launcher.status.waiting import read_waiting

_POLL_S = 0.2
_STATE_EVERY_S = 3.0
_PLAIN_EVERY_S = 10.0
_WORK = {
    "load": "loading the model",
    "evaluate": "evaluating",
    "answer": "answering trainer.sample_prompt",
    "export": "writing the model, loading it back and comparing",
}
_WHY_EVERY_S = 30.0
"""Seconds between two queries to the cluster about why a job waits."""


def follow_run(run: RunDir, *, quiet: bool) -> int:
    """The exit code of the run once it has ended: 0 if it is finished. Ctrl-C ends the display, not the run.

    RunError for a dry run, which has nothing to follow.
    """
    if read_status(run).state is RunState.PLANNED:
        raise RunError(
            f"{run.name} was only planned (a dry run); start it with python -m launcher resume {run.name} dry_run=false"
        )
    queried, queried_why, why, reader = 0.0, 0.0, "", HistoryReader(run, whole=False)
    console = make_console(quiet=quiet)

    def ended() -> int | None:
        nonlocal queried, queried_why, why
        if time.monotonic() - queried < _STATE_EVERY_S:
            return None
        queried = time.monotonic()
        status = read_status(run, reader=reader)
        if not is_over(status.state):
            if status.state is RunState.PENDING and (not why or queried - queried_why > _WHY_EVERY_S):
                queried_why, waiting = queried, read_waiting(run, status)
                said = waiting.line(datetime.now(timezone.utc)) if waiting else why
                if said != why:
                    console.print(f"pending: {visible(said)}", highlight=False, markup=False, soft_wrap=True)
                why = said
            return None
        return exit_code(reader.read(), status.state)

    return show(run, ended, console, all_of_it=True)


def exit_code(history: History, state: RunState) -> int:
    """The exit code of a run that is over: that of its job, as far as the run dir has it."""
    if state is RunState.FINISHED:
        return Exit.OK
    over = ended_by(history)
    if isinstance(over, Stopped) and over.exit_code:
        return over.exit_code
    codes = {
        RunState.PRUNED: Exit.PRUNED,
        RunState.CANCELLED: Exit.TERMINATED,
        RunState.TIMEOUT: Exit.TERMINATED,
    }
    return codes.get(state, Exit.FAILED)


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
    code = show(run, ended, make_console(quiet=quiet), all_of_it=False)
    return stopped or code


def show(run: RunDir, ended: Callable[[], int | None], console: Console, *, all_of_it: bool) -> int:
    """The exit code from `ended`, once it returns one; until then a progress bar is shown, or lines without a terminal.

    Without `all_of_it`, the output of earlier attempts is not shown again.
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
    """The display of one run."""

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
        self.events: EventReader[Event] = EventReader(run.events)
        self.lines = MetricsReader(run.metrics)
        self.last_plain = 0.0
        self.crashed = False
        self.began = time.monotonic()
        if not all_of_it and run.attempts():
            self.events.read()
            self.lines.read()

    def update(self) -> None:
        """Shows what has been written since the last call."""
        for event in self.events.read():
            self._event(event)
        logged = [line for line in self.lines.read() if isinstance(line, Logged)]
        if logged:
            self._metrics(logged[-1])

    def _event(self, event: Event) -> None:
        if isinstance(event, Sample | Evaluated):
            self.progress.update(self.task, description="training")
        if isinstance(event, Started):
            self.crashed = False
            self._doing("starting the ranks, which import the training stack")
        elif isinstance(event, Tokenizing):
            self._doing(f"making the {event.set} tokens")
        elif isinstance(event, Working):
            self._doing(_WORK.get(event.on, event.on))
        elif isinstance(event, Training):
            self.progress.update(
                self.task, description="training", total=event.total_steps, completed=event.step
            )
        elif isinstance(event, Crashed) and not self.crashed:
            self.crashed = True
            self._say(event.told, style="red")
        elif isinstance(event, Ended) and not (self.crashed and event.how == How.CRASHED.value):
            self.crashed = True
            self._say(f"attempt {event.attempt} {event.how}: {event.reason}", style="red")
        elif isinstance(event, Stopped) and not self.crashed:
            self._say(f"stopped: {event.reason}", style="red")
        elif isinstance(event, Sample):
            if event.when == "before":
                self._say(f"question: {event.prompt}")
            self._say(f"answer {event.when}: {event.answer}", style="dim")
        elif (text := sentence_of(event)) is not None:
            self._say(text)

    def _doing(self, what: str) -> None:
        """Shows work that has no numbers: in place of the bar, or as a line if there is no terminal."""
        self.progress.update(self.task, description=what)
        if not self.console.is_terminal:
            self._say(f"... {what}")

    def _metrics(self, line: Logged) -> None:
        numbers = f"loss {line.loss:.3f}  {line.tokens_per_s or 0:,.0f} tokens/s"
        if line.mfu is not None:
            numbers += f"  MFU {line.mfu:.0%}"
        self.progress.update(
            self.task, description="training", completed=line.step, total=line.total_steps, numbers=numbers
        )
        if not self.console.is_terminal and time.monotonic() - self.last_plain > _PLAIN_EVERY_S:
            self.last_plain = time.monotonic()
            left = self.progress.tasks[0].time_remaining
            text = "" if left is None else f"  {left:.0f} s left"
            self._say(f"step {line.step}/{line.total_steps}  {numbers}{text}")

    def finish(self, code: int) -> None:
        """The last lines: where the result is and what to type next, or where to look."""
        seconds = time.monotonic() - self.began
        if code:
            self._say(f"stopped after {seconds:.0f} s with exit code {code}")
            self._say(f"next  python -m launcher logs {self.run.name}")
            return
        self._say(f"finished in {seconds:.0f} s")
        self._say(f"model {self.run.export}")
        for event in self.run.read_events(Exported)[-1:]:
            if wrong := failed_check(event):
                self._say(f"warning: {wrong}")
        for label, command in zip(("next ", *["     "] * 9), next_commands(self.run), strict=False):
            self._say(f"{label} {command}")

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(visible(text), highlight=False, markup=False, soft_wrap=True, style=style)


def next_commands(run: RunDir) -> list[str]:
    """Commands to type after a run has finished; after a run on the shipped sample, how to train on one's own data."""
    plan = run.read_json(run.plan)
    data = Path(plan.get("facts", {}).get("data_path") or ".")
    commands = [f"python -m launcher status {run.name}"]
    if plan.get("experiment") and data.is_relative_to(resource_dir("conf")):
        return [*commands, f"python -m launcher +experiment={plan['experiment']} data.path=your.jsonl"]
    commands.append(f"python -m launcher report {run.name}")
    method = find_method(plan.get("trainer", "sft"))
    if method.classifies:
        commands.append(f'python -m launcher classify {run.name} --text "..."')
    elif not method.own_head:
        commands.append(f'python -m launcher chat {run.name} --prompt "..."')
    return commands


def sentence_of(event: Event) -> str | None:
    """The line that is shown for an event; None for no line."""
    if isinstance(event, Resumed):
        return f"resumed from {event.checkpoint}{', with a new optimizer' if event.new_optimizer else ''}"
    if isinstance(event, Evaluated):
        when = {"before": " before training", "after": " after training"}.get(event.when, "")
        return f"evaluation loss{when}: {event.eval_loss:.4f}"
    if isinstance(event, Classified):
        return (
            f"evaluation on {event.rows:,} rows: accuracy {event.accuracy:.1%}, macro F1 {event.macro_f1:.1%}"
        )
    if isinstance(event, General):
        before = event.when == "before"
        text = "before training" if before else f"{event.increase:.3g} times its value before training"
        return f"general text at step {event.step}: perplexity {event.perplexity:.4g}, {text}"
    if isinstance(event, EarlyStopped):
        best = "always NaN or infinite" if event.best is None else f"best at step {event.best_step}"
        return f"stopped early at step {event.step}: {event.metric} was {best}"
    if isinstance(event, Restored):
        return f"back to the weights of step {event.step}: {event.why}"
    if isinstance(event, Requeued):
        return f"queued again: {event.reason}"
    return None
