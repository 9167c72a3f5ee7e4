"""How long until 1000 trials are queued: ours, hydra -m with the submitit launcher, a bare `sbatch --array`, and one run.

    python -m tests.benchmarks.sweep [--runs 5] [--peer-runs 1]

On the real cluster, whose nodes are drained, so that nothing but the submit is timed. Both Hydra arms compose the same
configurations of the same experiment; the submitit launcher blocks until the last job ends, so its time is that until its
array is queued. Bars: ours at most 2 s (median) and at least 30 times faster than submitit. Beside the wall time stands the
CPU time of the command, which a busy machine does not change as much.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from launcher.resources import resource_dir
from tests.support.lab import Lab
from tests.support.runs import environment

BAR_S, BAR_RATIO, TRIALS = 2.0, 30.0, 1000
RUN = ("+experiment=tiny", "cluster=slurm")
SWEEP = ("trainer.learning_rate=range(0.001,0.0105,0.001)", "plugins.lora.r=range(1,11)", "seed=range(10)")
PATIENCE_S = 1800.0
Took = tuple[float, float]
"""Seconds: wall, CPU."""


def main() -> int:
    """0 where both bars are met."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sweep")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--peer-runs", type=int, default=1, help="of the submitit launcher, which takes minutes"
    )
    options = parser.parse_args()
    lab, folder = Lab(Path("/tmp") / f"lab-{os.getpid()}"), Path(tempfile.mkdtemp(prefix="sweep-"))
    lab("up", "4")
    try:
        lab.run("scontrol", "update", "NodeName=n[1-4]", "State=DRAIN", "Reason=bench", cwd=folder)
        launcher = [sys.executable, "-m", "launcher"]
        arms: dict[str, tuple[int, Callable[[], Took]]] = {
            "launcher -m, 1000 trials": (
                options.runs,
                lambda: timed(lab, folder, [*launcher, "-m", *RUN, *SWEEP]),
            ),
            "launcher, one run": (options.runs, lambda: timed(lab, folder, [*launcher, *RUN])),
            "sbatch --array, 1000 tasks": (
                options.runs,
                lambda: timed(lab, folder, ["sbatch", f"--array=0-{TRIALS - 1}", "--wrap=true"]),
            ),
            "hydra -m, submitit, 1000 trials": (options.peer_runs, lambda: submitit(lab, folder, launcher)),
        }
        times = {name: [take() for _ in range(runs)] for name, (runs, take) in arms.items()}
    finally:
        lab("down")
        shutil.rmtree(lab.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    return report(times)


def timed(lab: Lab, folder: Path, command: list[str]) -> Took:
    """A command that returns once everything is queued, which is checked."""
    lab.run("scancel", "--user=root", cwd=folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [str(resource_dir("slurm") / "lab"), "exec", *command], cwd=folder, env=environment(**lab.settings), check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wanted = TRIALS if any("seed=range" in word or "--array" in word for word in command) else 1
    assert queued(lab, folder) == wanted
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def submitit(lab: Lab, folder: Path, launcher: list[str]) -> Took:
    """Until Hydra's submitit launcher has its array; it is ended then."""
    lab.run("scancel", "--user=root", cwd=folder)
    scripts = folder / "submitit"
    shutil.rmtree(scripts, ignore_errors=True)
    command = [
        *launcher, "-m", *RUN, *SWEEP, "hydra/launcher=submitit_slurm", f"hydra.launcher.submitit_folder={scripts}",
        f"hydra.launcher.array_parallelism={TRIALS}",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    child = subprocess.Popen(
        [str(resource_dir("slurm") / "lab"), "exec", *command], cwd=folder, env=environment(**lab.settings),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # submitit names the script after the job once sbatch has given its id
    while not list(scripts.glob("[0-9]*_submission.sh")):
        assert child.poll() is None, child.stderr and child.stderr.read()
        assert time.perf_counter() - began < PATIENCE_S, "submitit queued nothing"
        time.sleep(0.05)
    wall = time.perf_counter() - began
    assert queued(lab, folder) == TRIALS
    inner = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    for pid in map(int, inner):
        os.kill(pid, 9)
    child.kill()
    child.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def queued(lab: Lab, folder: Path) -> int:
    """Tasks in the queue."""
    return len(lab.run("squeue", "--noheader", "--array", "--format=%i", cwd=folder).stdout.split())


def report(times: dict[str, list[Took]]) -> int:
    table = Table("until queued", "wall s (median)", "least", "most", "CPU s (median)", "runs")
    medians: list[float] = []
    for name, took in times.items():
        walls = [wall for wall, _ in took]
        medians.append(statistics.median(walls))
        cpu = statistics.median(cpu for _, cpu in took)
        table.add_row(
            name, f"{medians[-1]:.3f}", f"{min(walls):.3f}", f"{max(walls):.3f}", f"{cpu:.3f}", str(len(took))
        )
    Console(width=120).print(table)
    ours, theirs = medians[0], medians[-1]
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'met' if ours <= BAR_S else 'MISSED'}: {ours:.2f} s (bar {BAR_S:g} s)")
    ratio = theirs / ours
    print(
        f"{'met' if ratio >= BAR_RATIO else 'MISSED'}: {ratio:.1f} times faster than submitit (bar {BAR_RATIO:g})"
    )
    return 0 if ours <= BAR_S and ratio >= BAR_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
