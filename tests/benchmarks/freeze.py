"""What keeping the code of a run adds to a launch.

    python tests/benchmarks/freeze.py

Bar, for a git repository of 10,000 files (25 MB): 0.2 s, if its files are kept already and for the first launch from it, which
reads and writes all of them once. The launcher's own files are the same for each repository: a launch from an empty folder has
kept them before. The first launch of all, with an empty cache, is measured beside it. The time is CPU time (user and system,
children included), since other processes lengthen the clock; launches with and without freeze run in turn, and medians are
compared.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

FILES, RUNS = 10_000, 7
BARS_S = {"first": 0.2, "again": 0.2}
LAUNCHES = {
    "first": "the repository kept for the first time",
    "again": "files kept already",
    "of all": "repository and launcher kept for the first time",
}


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="freeze-"))
    try:
        return measure(folder)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path) -> int:
    work = make_repository(folder / "work")
    without = [
        "+experiment=tiny",
        "cluster=slurm",
        "dry_run=true",
        f"runs_dir={folder / 'runs'}",
        "data.check=off",
    ]

    empty = folder / "empty"
    empty.mkdir()

    def launch(*more: str, cache: str, where: Path = work) -> float:
        environment = {
            **os.environ, "XDG_CACHE_HOME": str(folder / cache), "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "launcher", *without, *more],
            cwd=where,
            env=environment,
            check=True,
            capture_output=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    launch("freeze=true", cache="kept")  # writes bytecode, and keeps the files
    times: dict[str, list[float]] = {"without": [], "first": [], "again": [], "of all": []}
    for number in range(RUNS):
        times["without"].append(launch("freeze=false", cache="kept"))
        times["again"].append(launch("freeze=true", cache="kept"))
        launch("freeze=true", cache=f"new{number}", where=empty)
        times["first"].append(launch("freeze=true", cache=f"new{number}"))
        times["of all"].append(launch("freeze=true", cache=f"empty{number}"))
    return report({name: statistics.median(found) for name, found in times.items()})


def make_repository(work: Path) -> Path:
    """A git repository of 10,000 files with 25 MB, one of them changed since its commit."""
    for number in range(FILES):
        file = work / f"package_{number // 100}" / f"module_{number % 100}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {number}\n" + "x = 1\n" * 300)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=x")):
        subprocess.run(["git", *who, *words], cwd=work, check=True)
    (work / "package_0" / "module_0.py").write_text("x = 2\n")
    return work


def report(median: dict[str, float]) -> int:
    table = Table("launch", "CPU s", "added", "bar")
    table.add_row("freeze=false", f"{median['without']:.3f}", "", "")
    added = {name: median[name] - median["without"] for name in LAUNCHES}
    for name, what in LAUNCHES.items():
        bar = f"+{BARS_S[name]}" if name in BARS_S else ""
        table.add_row(f"freeze=true, {what}", f"{median[name]:.3f}", f"{added[name]:+.3f}", bar)
    Console(width=100).print(table)
    met = all(added[name] <= bar for name, bar in BARS_S.items())
    told = f"{added['first']:+.3f} s the first time and {added['again']:+.3f} s later, for {FILES:,} files"
    print(f"{'met' if met else 'MISSED'}: {told}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
