"""Showing a run's progress from its own files, while its supervisor works."""

import signal
import subprocess
import time
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from launcher.errors import Exit
from launcher.run import RunDir

_POLL_S = 0.2
_PLAIN_EVERY_S = 10.0


def follow(run: RunDir, process: subprocess.Popen[bytes], *, quiet: bool) -> int:
    """The job's exit code; until then a progress bar, or lines where there is no terminal.

    Ctrl-C and SIGTERM are passed on, so that the ranks end before this does.
    """
    code = int(Exit.OK)

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal code
        code = Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    view = View(run, Console(quiet=quiet))
    with view.progress:
        while process.poll() is None:
            view.update()
            time.sleep(_POLL_S)
        view.update()
    ended = process.returncode if process.returncode >= 0 else 128 - process.returncode
    view.finish(ended)
    return code or ended


class View:
    """What a person sees of one run."""

    def __init__(self, run: RunDir, console: Console) -> None:
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
        # A run that goes on has the files of earlier attempts, which are not news.
        self.events_seen = len(run.read_events()) if run.attempts() else 0
        self.metrics_seen = len(run.read_metrics())

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
            self.progress.update(self.task, description="loading")
        elif name == "training":
            self.progress.update(self.task, description="training", total=event["total_steps"], completed=event["step"])
        elif name == "resumed":
            self._say(f"resumed from {event['checkpoint']}")
        elif name == "evaluated":
            when = {"before": " before training", "after": " after training"}.get(event["when"], "")
            self._say(f"evaluation loss{when}: {event['eval_loss']:.4f}")
        elif name == "sample":
            if event["when"] == "before":
                self._say(f"question: {event['prompt']}")
            self._say(f"answer {event['when']}: {event['answer']}", style="dim")
        elif name == "crashed":
            self.crashed = True
            self._say(f"rank {event['rank']} on {event['host']}: {event['error']}", style="red")
        elif name == "stopped" and not self.crashed:
            self._say(f"stopped: {event['reason']}", style="red")

    def _metrics(self, line: dict[str, Any]) -> None:
        numbers = f"loss {line['loss']:.3f}  {line['tokens_per_s']:,.0f} tokens/s"
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
