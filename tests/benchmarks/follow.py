"""python tests/benchmarks/follow.py: CPU seconds of one look of `follow` at a run, by the lines of its metrics.jsonl.

Old way: every look reads and parses the whole file. New way: a look reads what was appended since the one before it.
Exit code 1 where a look at 100,000 lines costs more than BAR_S, at which five looks a second take 1% of a core.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from launcher.run import RunDir
from launcher.run.history import HistoryReader
from launcher.run.metrics import Logged

BAR_S = 0.002
LINES = (1_000, 100_000)
LOOKS = {1_000: 50, 100_000: 5}


def main() -> int:
    """1 where the bar is missed."""
    print(f"{'lines':>8}  {'old, s a look':>14}  {'new, s a look':>14}  {'times':>7}")
    newest = 0.0
    for lines in LINES:
        with tempfile.TemporaryDirectory() as folder:
            run = RunDir(Path(folder))
            fill(run, lines)
            reader = HistoryReader(run)
            reader.read()
            old = cost(run, lambda run=run: read_whole(run), LOOKS[lines])
            newest = cost(run, lambda reader=reader: look(reader), 50)
        print(f"{lines:8,}  {old:14.5f}  {newest:14.5f}  {old / newest:7.0f}")
    passed = newest <= BAR_S
    print(
        f"{'pass' if passed else 'MISSED'}: {newest:.5f} s a look at {LINES[-1]:,} lines; the bar is {BAR_S:g} s"
    )
    return 0 if passed else 1


def line(step: int) -> Logged:
    """A logged step as a run on GPUs writes it."""
    return Logged(
        time=f"2026-01-01T{step // 3600 % 24:02d}:{step // 60 % 60:02d}:{step % 60:02d}.000+00:00", step=step, loss=1.5,
        total_steps=200_000, learning_rate=1e-4, grad_norm=0.7, epoch=step / 1e5, samples=64 * step, tokens=65536 * step,
        trained_tokens=50000 * step, tokens_per_s=81234.5, tokens_per_s_per_gpu=10154.3, mfu=0.41, hfu=0.48,
        peak_memory_gib=61.2, data_wait_s=0.001,
    )  # fmt: skip


def fill(run: RunDir, lines: int) -> None:
    """Writes that many lines of metrics."""
    with run.metrics.open("w") as file:
        file.writelines(json.dumps(line(step).line()) + "\n" for step in range(1, lines + 1))


def read_whole(run: RunDir) -> None:
    """A look in the old way: the file is read, split and parsed."""
    [json.loads(text) for text in run.metrics.read_text().split("\n") if text]


def look(reader: HistoryReader) -> None:
    """A look in the new way, with what `status` needs of it."""
    course = reader.read().course
    assert course.last is not None and course.step_s is not None


def cost(run: RunDir, looks: Callable[[], None], count: int) -> float:
    """CPU seconds of a look, a line having been appended before each."""
    spent = 0.0
    for number in range(count):
        run.log(line(200_000 + number))
        begun = time.process_time()
        looks()
        spent += time.process_time() - begun
    return spent / count


if __name__ == "__main__":
    sys.exit(main())
