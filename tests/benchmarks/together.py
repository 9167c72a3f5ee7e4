"""LoRA trials of SmolLM2-135M on one base model against as many processes: peak memory, and tokens per CPU second.

    python -m tests.benchmarks.together [--trials 1 2 4 8] [--steps 10]

Each arm trains the same planned runs by the product's own ranks: a lone process, groups in turns and groups in a mixed pass,
with rows of 256 and of 32 tokens and one row to a step. One lone process is measured, and N processes need N times its memory
and CPU time. Peak memory is VmHWM of the process. Tokens per CPU second count from the first logged step of the last trial to
the last step, without imports and loading. Bars: with the pass that the planner chooses, 8 trials need at most 0.30 of the
memory of 8 processes; the tokens per CPU second are at least equal at 256 tokens a row and 1.25 times at 32.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from launcher.run.lanes import LaneEnd
from tests.support.lanes import train_together
from tests.support.runs import Finished, command, environment

BAR_MEMORY, BAR_LONG, BAR_SHORT, LONG, SHORT = 0.30, 1.0, 1.25, 256, 32
_POLL_S = 0.01


@dataclass(frozen=True)
class Took:
    """One arm."""

    peak_mib: float
    tokens_per_cpu_s: float


def main() -> int:
    """0 where all bars are met."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.together")
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="together-"))
    table = Table(
        "tokens a row", "trials", "pass", "peak MiB", "of N processes", "tokens per CPU s", "of a process"
    )
    found: dict[tuple[int, int, str], tuple[float, float]] = {}
    for length in (LONG, SHORT):
        lone = measure(folder, length, 1, "alone", options)
        print(f"{length} tokens a row, a process: {lone}", file=sys.stderr, flush=True)
        table.add_row(
            str(length), "1", "a process", f"{lone.peak_mib:.0f}", "", f"{lone.tokens_per_cpu_s:.1f}", ""
        )
        for trials in options.trials:
            for how in ("turns", "mixed"):
                took = measure(folder, length, trials, how, options)
                memory, rate = (
                    took.peak_mib / (trials * lone.peak_mib),
                    took.tokens_per_cpu_s / lone.tokens_per_cpu_s,
                )
                found[length, trials, how] = memory, rate
                print(f"{length} tokens a row, {trials} trials, {how}: {took}", file=sys.stderr, flush=True)
                table.add_row(
                    str(length), str(trials), how, f"{took.peak_mib:.0f}", f"{memory:.2f}", f"{took.tokens_per_cpu_s:.1f}",
                    f"{rate:.2f}",
                )  # fmt: skip
    Console(width=120).print(table)
    most = max(options.trials)
    long, short = found[LONG, most, "turns"], found[SHORT, most, "mixed"]
    missed = [
        text
        for text, met in (
            (f"memory {long[0]:.2f} of {most} processes at {LONG} tokens", most < 8 or long[0] <= BAR_MEMORY),
            (
                f"memory {short[0]:.2f} of {most} processes at {SHORT} tokens",
                most < 8 or short[0] <= BAR_MEMORY,
            ),
            (
                f"{long[1]:.2f} times the tokens per CPU second at {LONG} tokens",
                round(long[1], 2) >= BAR_LONG,
            ),
            (
                f"{short[1]:.2f} times the tokens per CPU second at {SHORT} tokens",
                round(short[1], 2) >= BAR_SHORT,
            ),
        )
        if not met
    ]
    figures = f"{most} trials: memory {long[0]:.2f} and {short[0]:.2f}, rate {long[1]:.2f} in turns and {short[1]:.2f} mixed"
    print(f"missed: {'; '.join(missed)} ({figures})" if missed else f"met: {figures}")
    return 1 if missed else 0


def measure(folder: Path, length: int, trials: int, how: str, options: argparse.Namespace) -> Took:
    """One arm, in a folder of its own."""
    place = folder / f"{length}_{trials}_{how}"
    runs = [plan(place / str(number), length, number, options.steps) for number in range(trials)]
    watch = Watch(runs, options.steps)
    if how == "alone":
        watch.start(runs[0].path, options.threads)
    else:
        group = plan(place / "group", length, 0, options.steps)
        codes, ends = train_together(
            lambda path: [watch.start(path, options.threads)], group, runs, mixed=how == "mixed"
        )
        assert codes == [0] and all_finished(ends, trials), group.logs()
    tokens = sum(run.metrics()[-1]["tokens"] for run in map(trained, runs))
    before = sum(watch.first[number] for number in range(trials))
    return Took(peak_mib=watch.peak_kib / 1024, tokens_per_cpu_s=(tokens - before) / watch.cpu_s)


def all_finished(ends: dict[int, LaneEnd], trials: int) -> bool:
    """Whether every trial has finished."""
    return len(ends) == trials and {end.how for end in ends.values()} == {"finished"}


def trained(run: Finished) -> "Logged":
    """A run's lines of training."""
    return Logged(run.path)


class Logged(Finished):
    """A run dir whose metrics are those of training alone."""

    def metrics(self) -> list[dict[str, float]]:
        path = self.path / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in map(json.loads, lines) if "loss" in line]


class Watch:
    """Peak memory of a rank, and its CPU time while all of its trials train."""

    def __init__(self, runs: Sequence[Finished], steps: int) -> None:
        self.runs, self.steps = [trained(run) for run in runs], steps
        self.peak_kib = 0
        self.cpu_s = 0.0
        self.first: list[int] = []
        """Tokens of each trial when the clock was started."""

    def start(self, path: Path, threads: int) -> int:
        """The exit code of the rank of a planned run or group."""
        (path / "logs").mkdir(exist_ok=True)
        with (path / "logs" / "rank.log").open("wb") as log:
            env = environment(
                OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="false", WORLD_SIZE="1", RANK="0", LOCAL_RANK="0",
                LAUNCHER_ATTEMPT="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()),
            )  # fmt: skip
            child = subprocess.Popen(
                [sys.executable, "-m", "launcher.train", str(path)], stdout=log, stderr=log, env=env, cwd=path
            )
            thread = threading.Thread(target=self._look, args=(child,))
            thread.start()
            code = child.wait()
            thread.join()
        assert code == 0, (path / "logs" / "rank.log").read_text()
        return code

    def _look(self, child: "subprocess.Popen[bytes]") -> None:
        begun: float | None = None
        while child.poll() is None:
            lines = [run.metrics() for run in self.runs]
            if begun is None and all(lines):
                begun, self.first = cpu_s(child.pid), [int(one[-1]["tokens"]) for one in lines]
            if begun is not None and not self.cpu_s and all(one[-1]["step"] >= self.steps for one in lines):
                self.cpu_s = cpu_s(child.pid) - begun
            self.peak_kib = max(self.peak_kib, peak_kib(child.pid))
            time.sleep(_POLL_S)


def free_port() -> int:
    """A port that no process uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far (proc(5))."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib(pid: int) -> int:
    """Peak memory of a process so far; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def plan(folder: Path, length: int, number: int, steps: int) -> Finished:
    """A planned run of one trial: rows of exactly `length` tokens, one to a step."""
    folder.mkdir(parents=True)
    data = folder.parent / "text.jsonl"
    if not data.exists():
        data.write_text(
            "".join(json.dumps({"text": f"{row} apples and pears. " * 400}) + "\n" for row in range(40))
        )
    typed = command(
        "+experiment=quickstart", "cluster=local", "resources.device=cpu", "trainer=pretrain", f"data.path={data}",
        "data.eval_path=null", "data.check=off", f"model.max_length={length}", "batch.global_batch_size=1",
        "batch.micro_batch_size=1", f"trainer.max_steps={steps}", "trainer.sample_prompt=null", "trainer.loss_spike=null",
        f"trainer.learning_rate={1e-4 * (number + 1)}", f"seed={number}", "plugins.sharded_checkpoint.save_steps=1000",
        "dry_run=true", "--json",
    )  # fmt: skip
    done = subprocess.run(typed, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))


if __name__ == "__main__":
    sys.exit(main())
