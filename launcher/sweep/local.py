"""A sweep on this machine, or inside one allocation: sweep.parallel workers, and a progress line."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from launcher import environment as variables
from launcher.clusters.registry import make_cluster
from launcher.config.schema import shipped_dir
from launcher.errors import Exit
from launcher.launching.freeze.unpack import unpack
from launcher.output import make_console
from launcher.processes import death_with_parent
from launcher.run.code import read_code
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import CANCELLED, FAILED, RUNNING, WAITING
from launcher.sweep.read import Sweep, Trial, read_sweep

_POLL_S = 0.5


def run_here(sweep: SweepDir, *, quiet: bool) -> int:
    """The exit code, after the last trial. Ctrl-C and SIGTERM end the running trials; the sweep can be resumed."""
    stopped = Exit.OK
    workers: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    spec = sweep.read_spec()
    environment = _environment(sweep, spec["work_dir"])
    cluster = make_cluster(spec["cluster"])
    job = cluster.job(os.environ)
    sweep.as_run.note_job(cluster.name, job.id if job else str(os.getpid()))
    with (sweep.as_run.logs / "workers.log").open("ab") as log:
        for _ in range(spec["parallel"] or 1):
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "launcher", "sweep", "work", str(sweep.path)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                    preexec_fn=death_with_parent(), env=environment, cwd=sweep.path,
                )
            )  # fmt: skip
        _follow(sweep, workers, make_console(quiet=quiet))
    ended = read_sweep(sweep.path)
    if stopped:
        return stopped
    bad = ended.count(FAILED) + ended.count(CANCELLED) + ended.count(WAITING)
    return Exit.FAILED if bad or any(worker.returncode for worker in workers) else Exit.OK


def _environment(sweep: SweepDir, work_dir: str) -> dict[str, str]:
    """The environment of a worker, which imports the code that was kept for the sweep, otherwise that of the working folder."""
    code = read_code(sweep.as_run.code)
    for folder, archive in code.folders.items() if code else ():
        if archive:
            unpack(folder, archive)
    folders = [*code.folders] if code else [work_dir]
    path = os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")]))
    shipped = {variables.SHIPPED: str(shipped_dir())} if code else {}
    return {**os.environ, **shipped, "PYTHONPATH": path}


def _follow(sweep: SweepDir, workers: list[subprocess.Popen[bytes]], console: Console) -> None:
    """Shows progress until all workers have ended."""
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[numbers]}"), console=console,
        transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    shown: set[int] = set()
    with progress:
        task = progress.add_task(sweep.name, total=None, numbers="")
        while True:
            living = any(worker.poll() is None for worker in workers)
            now = read_sweep(sweep.path)
            for trial in now.trials:
                if trial.ended and trial.number not in shown:
                    shown.add(trial.number)
                    console.print(line(now, trial), highlight=False, markup=False, soft_wrap=True)
            progress.update(task, total=_total(sweep, now), completed=len(shown), numbers=numbers(now))
            if not living:
                return
            time.sleep(_POLL_S)


def _total(sweep: SweepDir, now: Sweep) -> int | None:
    return len(now.trials) if now.sampler == "grid" else sweep.read_spec()["budget"]["trials"]


def line(sweep: Sweep, trial: Trial) -> str:
    """One line about a trial that has ended."""
    values = " ".join(f"{key}={value}" for key, value in trial.overrides.items())
    last = list(trial.intermediate.values())[-1:] if trial.value is None else [trial.value]
    text = f"  {sweep.objective} {last[0]:.4f}" if last else ""
    why = f"  {trial.error}" if trial.error else ""
    return f"trial {trial.number} {trial.state}{text}  {values}{why}"


def numbers(sweep: Sweep) -> str:
    """The number of trials in each state, and the best one so far."""
    counts = [f"{count} {state}" for state in (RUNNING, FAILED) if (count := sweep.count(state))]
    best = sweep.best
    text = f"best {best.value:.4f} (trial {best.number})" if best and best.value is not None else ""
    return "  ".join(filter(None, [f"{sum(bool(one.ended) for one in sweep.trials)} ended", *counts, text]))
