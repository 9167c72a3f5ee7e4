"""python -m tests.benchmarks.many_runs: CPU and memory of `list` for many runs, and of `status` and `report` of a long one.

The runs are copies of one finished run of the tiny model. `first` reads all of them, `again` those that have changed since,
which is none. Exit code 1 where one of them misses a bar.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.benchmarks.follow import line

CPU_S, MIB = 0.5, 100
"""Bars of a list that was made before, of the status and of the report."""
_COPIED = ("plan.json", "job.json", "events.jsonl", "metrics.jsonl", "config.yaml")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one command took."""

    what: str
    cpu_s: float
    mib: float

    @property
    def met(self) -> bool:
        return self.cpu_s <= CPU_S and self.mib <= MIB


def main() -> int:
    """1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description="The cost of a list of many runs and of the status of a long one."
    )
    parser.add_argument("--runs", type=int, default=10_000, metavar="N")
    parser.add_argument("--lines", type=int, default=1_000_000, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-runs-") as name:
        folder = Path(name)
        run = train(folder / "one")
        copy(run, folder / "many", given.runs)
        lengthen(run, given.lines)
        costs = [
            measure(f"list of {given.runs:,} runs, first", "list", "--runs-dir", str(folder / "many")),
            measure(f"list of {given.runs:,} runs, again", "list", "--runs-dir", str(folder / "many")),
            measure(f"status of {given.lines:,} lines", "status", str(run)),
            measure(f"report of {given.lines:,} lines", "report", str(run)),
        ]
    print(f"{'':34}{'CPU s':>8}{'MiB':>8}")
    for cost in costs:
        print(f"{cost.what:34}{cost.cpu_s:8.2f}{cost.mib:8.0f}")
    _, *held = costs
    passed = all(cost.met for cost in held)
    figures = [
        f"{cost.cpu_s:.2f} s and {cost.mib:.0f} MiB for {what}"
        for what, cost in zip(("a list", "the status", "the report"), held, strict=True)
    ]
    print(f"{'pass' if passed else 'MISSED'}: {', '.join(figures)}; the bars are {CPU_S:g} s and {MIB} MiB")
    return 0 if passed else 1


def train(folder: Path) -> Path:
    """A finished run."""
    folder.mkdir()
    words = ["+experiment=tiny", "cluster=local", "trainer.max_steps=4"]
    subprocess.run(
        [sys.executable, "-m", "launcher", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return next(folder.glob("runs/tiny/*/"))


def copy(run: Path, runs_dir: Path, count: int) -> None:
    """That many copies of it, under 50 names."""
    for number in range(count):
        folder = runs_dir / f"run_{number % 50}" / f"2026-01-01_00-00-00_{number}"
        folder.mkdir(parents=True)
        for name in _COPIED:
            shutil.copy(run / name, folder / name)


def lengthen(run: Path, lines: int) -> None:
    """Its metrics become that many lines."""
    begin = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(1, lines + 1):
            time = (begin + timedelta(seconds=step)).isoformat(timespec="milliseconds")
            file.write(json.dumps({**line(step).line(), "time": time}) + "\n")


def measure(what: str, *words: str) -> Cost:
    """CPU seconds and peak memory of one command."""
    process = subprocess.Popen([sys.executable, "-m", "launcher", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"launcher {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(what=what, cpu_s=used.ru_utime + used.ru_stime, mib=used.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
