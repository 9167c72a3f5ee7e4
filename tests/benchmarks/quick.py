"""Whether any figure has slipped: ratios to a peer that is measured in the same run, in under three minutes.

    python -m tests.benchmarks.quick [--json]

CI runs it (`make bench-quick`). The bars are generous, since CI shares its machine: they find a figure that has slipped, and
the full benchmarks measure it. Figures are CPU time where the work is computation, and wall time where it is waiting.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import checkpoint, data, plan_speed, start, throughput

LOGIN_RUNS, DATA_ROWS, PLAN_RUNS, TURNS = 5, 20_000, 5, 3


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Ours beside its peer in the same run."""

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    bar: float
    """The ratio ours / peer that still passes."""
    higher_is_better: bool = False

    @property
    def ratio(self) -> float:
        """Ours / peer."""
        return self.ours / self.peer

    @property
    def met(self) -> bool:
        """Whether the ratio is on the right side of the bar."""
        return self.ratio >= self.bar if self.higher_is_better else self.ratio <= self.bar


def main() -> int:
    began = time.perf_counter()
    console = Console(stderr=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="quick-") as name:
        for number, measure in enumerate((login_path, data_check, plan_speed_, save_stall, training)):
            folder = Path(name, str(number))
            folder.mkdir()
            console.print(f"{measure.__name__.strip('_').replace('_', ' ')} ...", highlight=False)
            figures.append(measure(folder))
            shutil.rmtree(folder)
    return show(figures, time.perf_counter() - began)


def login_path(folder: Path) -> Figure:
    """A launch that submits a 70B run to a fake sbatch, beside a bare Hydra app."""
    ours, bare, environment = start.make_arms(folder)
    times = start.in_turn(
        LOGIN_RUNS,
        lambda: cpu_s(ours.command, ours.folder, environment),
        lambda: cpu_s(bare.command, bare.folder, environment),
        "login path",
    )
    return Figure(
        name="login path", unit="CPU s", ours=statistics.median(times[0]), peer=statistics.median(times[1]),
        peer_name="bare Hydra app", bar=2.0,
    )  # fmt: skip


def data_check(folder: Path) -> Figure:
    """`data check` of 20,000 chats with an evaluation file, beside a loop that only parses their JSON."""
    train, held = folder / "train.jsonl", folder / "eval.jsonl"
    data.generate(train, held, DATA_ROWS)
    check = [sys.executable, "-m", "launcher", "data", "check", str(train), "--eval", str(held), "--json"]
    parse = (
        "import json, sys\nfor line in open(sys.argv[1]):\n  try: json.loads(line)\n  except ValueError: pass"
    )
    ours = cpu_s(check, folder, dict(os.environ), codes=(0, 1))
    peer = cpu_s([sys.executable, "-c", parse, str(train)], folder, dict(os.environ))
    return Figure(
        name="data check, 20,000 rows",
        unit="CPU s",
        ours=ours,
        peer=peer,
        peer_name="parsing the JSON alone",
        bar=60.0,
    )


def plan_speed_(folder: Path) -> Figure:
    """Planning a 70B run on 512 nodes with strategy and micro batch left to the planner, beside composing its configuration."""
    arguments = ("llama70b_qlora", 512, "strategy=auto batch.micro_batch_size=auto")
    plan_speed.register()
    composing = [timed(lambda: plan_speed.compose(*arguments)) for _ in range(PLAN_RUNS)]
    planning = plan_speed.measure(plan_speed.compose(*arguments))
    return Figure(
        name="planning", unit="s", ours=statistics.median(planning), peer=statistics.median(composing),
        peer_name="composing the configuration", bar=1.25,
    )  # fmt: skip


def save_stall(folder: Path) -> Figure:
    """How long a save of 500 MB stops two training ranks, beside the Trainer's own save."""
    run = checkpoint.plan(folder)
    checkpoint.try_arm(run, "ours", "warm")
    blocked = {
        arm: statistics.median(checkpoint.try_arm(run, arm, "save")["blocked_s"][1:])
        for arm in ("ours", "Trainer")
    }
    return Figure(
        name="save stall",
        unit="s",
        ours=blocked["ours"],
        peer=blocked["Trainer"],
        peer_name="Trainer's save",
        bar=0.4,
    )


def training(folder: Path) -> Figure:
    """Tokens per CPU second of the tiny model, beside a bare PyTorch loop on the same packed rows."""
    arms, _, _ = throughput.measure(throughput.CASES[0], folder, TURNS, "cpu", ("bare", "ours"))
    rates = {arm.name: arm.rate for arm in arms}
    return Figure(
        name="training, tiny model", unit="tokens/CPU s", ours=rates["ours"], peer=rates["bare"], peer_name="bare PyTorch loop",
        bar=0.75, higher_is_better=True,
    )  # fmt: skip


def cpu_s(
    command: list[str], folder: Path, environment: dict[str, str], codes: tuple[int, ...] = (0,)
) -> float:
    """CPU seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in codes:
        raise SystemExit(f"MISSED: {' '.join(command)} ended with exit code {done.returncode}\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def show(figures: list[Figure], seconds: float) -> int:
    """The exit code, after the table and the verdict."""
    if "--json" in sys.argv:
        print(json.dumps([asdict(one) | {"ratio": one.ratio, "met": one.met} for one in figures]))
        return int(not all(one.met for one in figures))
    table = Table("", "unit", "ours", "peer", "ratio", "bar", "")
    for one in figures:
        sign = ">=" if one.higher_is_better else "<="
        table.add_row(
            one.name, one.unit, f"{one.ours:,.3g}", f"{one.peer:,.3g} ({one.peer_name})", f"{one.ratio:.2f}",
            f"{sign} {one.bar:g}", "ok" if one.met else "MISSED",
        )  # fmt: skip
    Console(width=120).print(table)
    said = ", ".join(f"{one.name} x {one.ratio:.2f}" for one in figures)
    met = all(one.met for one in figures)
    print(f"{'met' if met else 'MISSED'} in {seconds:.0f} s: {said}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
