"""How long a million rows take to be checked, how much memory, and whether what was planted is found.

    python -m tests.benchmarks.data [ROWS]

Bars: a million rows in 120 s and 2 GiB over all processes, every planted exact duplicate, evaluation row and broken row
found, 98 of 100 planted near duplicates found, and at most one row in a thousand wrongly called a near duplicate.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

BAR_S, BAR_GIB, BAR_NEAR, BAR_FALSE = 120.0, 2.0, 0.98, 0.001
PLANTED = 1000
EVAL_ROWS = 2000


@dataclass
class Planted:
    """Number of rows of each kind in the file; near ones differ in one word or two."""

    exact: int = 0
    near: int = 0
    overlap: int = 0
    copied: int = 0
    broken: int = 0


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="data-") as folder:
        train, held = Path(folder, "train.jsonl"), Path(folder, "eval.jsonl")
        planted = generate(train, held, rows)
        command = [
            sys.executable,
            "-m",
            "launcher",
            "data",
            "check",
            str(train),
            "--eval",
            str(held),
            "--json",
        ]
        seconds, gib, report = measure(command)
        return show(rows, train.stat().st_size, seconds, gib, report, planted)


def generate(train: Path, held: Path, rows: int) -> Planted:
    """A file of chats of 200 to 600 characters in invented words with a natural spread, and its evaluation file."""
    draw = random.Random(0)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    vocabulary = ["".join(draw.choices(syllables, k=draw.choice((1, 2, 2, 3)))) for _ in range(30_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    stream: list[str] = []

    def text(words: int) -> list[str]:
        nonlocal stream
        if len(stream) < words:
            stream = draw.choices(vocabulary, weights, k=1_000_000)
        said, stream[-words:] = stream[-words:], []
        return said

    def row(question: list[str], answer: list[str]) -> str:
        turns = [
            ("user", " ".join(question).capitalize() + "?"),
            ("assistant", " ".join(answer).capitalize() + "."),
        ]
        return json.dumps({"messages": [{"role": role, "content": said} for role, said in turns]}) + "\n"

    def chat() -> tuple[list[str], list[str]]:
        return text(draw.randint(8, 20)), text(draw.randint(30, 90))

    evaluation = [chat() for _ in range(EVAL_ROWS)]
    held.write_text("".join(row(*one) for one in evaluation))
    planted = Planted()
    each = max(1, PLANTED * rows // 1_000_000)
    kinds = ["exact", "near", "overlap", "copied", "broken"]
    places = dict(zip(draw.sample(range(rows // 10, rows), 5 * each), kinds * each, strict=True))
    earlier: list[tuple[list[str], list[str]]] = []
    left = {"overlap": evaluation[:each], "copied": evaluation[-each:]}
    with train.open("w") as file:
        for number in range(rows):
            kind = places.get(number)
            question, answer = chat()
            if number < rows // 10 and len(earlier) < 2 * each:
                earlier.append((question, answer))
            if kind == "exact" or kind == "near":
                question, answer = earlier.pop()
            if kind == "near":
                answer = list(answer)
                answer[draw.randrange(len(answer))] = draw.choice(vocabulary)
            if kind == "overlap":
                answer = [*answer[:10], *left["overlap"].pop()[1][:20], *answer[10:]]
            if kind == "copied":
                question, answer = left["copied"].pop()
            file.write('{"messages": [\n' if kind == "broken" else row(question, answer))
            if kind:
                setattr(planted, kind, getattr(planted, kind) + 1)
    return planted


def measure(command: list[str]) -> tuple[float, float, dict]:
    """Seconds, the highest sum of resident memory over the command and its children in GiB, and its report."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, resident_gib(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    seconds = time.perf_counter() - began
    watcher.join()
    return seconds, peak, json.loads(out)


def resident_gib(parent: int) -> float:
    """Resident memory of a process and all below it."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            parents[int(fields["Pid"])] = int(fields["PPid"])
            resident[int(fields["Pid"])] = int(fields.get("VmRSS", "0 kB").split()[0])
        except (OSError, ValueError, KeyError):
            continue
    family = {parent}
    while more := {pid for pid, above in parents.items() if above in family} - family:
        family |= more
    return sum(resident.get(pid, 0) for pid in family) / 2**20


def show(rows: int, size: int, seconds: float, gib: float, report: dict, planted: Planted) -> int:
    """The table and the verdict; the exit code."""
    counts = report["counts"]
    near = report["near_duplicates"]
    false = max(0, near - planted.near) / rows
    overlap = counts.get("eval_overlap", 0)
    lines = [
        ("rows", f"{report['rows']:,}", f"{rows:,}", report["rows"] == rows),
        (
            "seconds",
            f"{seconds:.1f}",
            f"<= {BAR_S:.0f} for a million",
            seconds <= BAR_S * max(1, rows / 1_000_000),
        ),
        ("peak memory of all processes, GiB", f"{gib:.2f}", f"<= {BAR_GIB:g}", gib <= BAR_GIB),
        (
            "broken rows",
            f"{counts.get('not_json', 0):,}",
            f"{planted.broken:,}",
            counts.get("not_json", 0) == planted.broken,
        ),
        (
            "exact duplicates",
            f"{report['duplicates']:,}",
            f"{planted.exact:,}",
            report["duplicates"] == planted.exact,
        ),
        (
            "near duplicates",
            f"{near:,}",
            f">= {BAR_NEAR:.0%} of {planted.near:,}",
            near >= BAR_NEAR * planted.near,
        ),
        ("near duplicates that are none", f"{false:.3%}", f"<= {BAR_FALSE:.1%}", false <= BAR_FALSE),
        (
            "evaluation rows copied",
            f"{report['eval']['exact']:,}",
            f"{planted.copied:,}",
            report["eval"]["exact"] == planted.copied,
        ),
        ("evaluation rows overlapping", f"{overlap:,}", f"{planted.overlap:,}", overlap >= planted.overlap),
    ]
    table = Table(title=f"data check, {rows:,} rows, {size / 2**20:.0f} MiB", title_justify="left")
    for column in ("what", "measured", "bar", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right")
    for what, measured, bar, good in lines:
        table.add_row(what, measured, bar, "ok" if good else "MISSED")
    Console(width=100).print(table)
    missed = [what for what, *_, good in lines if not good]
    print(f"data: {'every bar is met' if not missed else 'MISSED: ' + ', '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
