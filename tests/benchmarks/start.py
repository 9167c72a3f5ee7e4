"""How long until a job is queued, and until the first optimizer step.

    python tests/benchmarks/start.py

Bars: the login path takes at most 1.6 times a bare @hydra.main app and 3,000 file-metadata calls more; the first step
comes at least 0.5 s earlier than with bare torchrun on the same script. Peers run in turn with ours, medians are compared.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

LOGIN_RUNS, STEP_RUNS = 20, 5
BAR_RATIO, BAR_CALLS, BAR_STEP_S = 1.6, 3000, -0.5
METADATA = (
    "stat,lstat,newfstatat,statx,access,faccessat,faccessat2,open,openat,readlink,readlinkat,getdents64"
)

APP = """
import hydra
@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    print(cfg.name)
main()
"""


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="start-"))
    try:
        return measure(folder)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path) -> int:
    ours, bare, environment = make_arms(folder)

    def run(arm: Arm) -> float:
        began = time.perf_counter()
        subprocess.run(arm.command, cwd=arm.folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    login = in_turn(LOGIN_RUNS, lambda: run(ours), lambda: run(bare), "login path")
    calls = [count_calls(arm, folder / "strace", environment) for arm in (ours, bare)]
    steps = {}
    for ranks in (1, 2):
        planned = plan(ours.folder, environment, ranks)
        steps[ranks] = in_turn(
            STEP_RUNS,
            lambda ranks=ranks: launched(ours.folder, environment, ranks),
            lambda planned=planned, ranks=ranks: torchrun(planned, environment, ranks),
            f"first step, {ranks} ranks",
        )
    return report(login, calls, steps)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A command, and a working folder that only this arm writes to."""

    command: list[str]
    folder: Path


def make_arms(folder: Path) -> tuple[Arm, Arm, dict[str, str]]:
    """A launch, a bare Hydra app with a config of its own, and their environment with a fake sbatch.

    Each arm has a folder of its own, since a launch looks at all files of its working folder, and Hydra writes there. The
    cache and the programs are elsewhere, as they are for a user.
    """
    ours, bare, programs = (folder / name for name in ("ours", "bare", "bin"))
    for one in (ours, bare / "conf", programs):
        one.mkdir(parents=True)
    (bare / "app.py").write_text(APP)
    (bare / "conf" / "config.yaml").write_text("name: bare\n")
    sbatch = programs / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 1\n")
    sbatch.chmod(0o755)
    # bytecode is kept, as on any machine where the program has run before: the warm-up of each arm writes it
    left_out = ("SLURM_", "PYTHONDONTWRITEBYTECODE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    launch = [sys.executable, "-m", "launcher", "+experiment=llama70b_qlora", "cluster=slurm"]
    return (
        Arm(command=launch, folder=ours),
        Arm(command=[sys.executable, str(bare / "app.py")], folder=bare),
        {
            **clean,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
    )


def in_turn(
    runs: int, ours: Callable[[], float], peer: Callable[[], float], what: str
) -> tuple[list[float], list[float]]:
    """Seconds of both, A B A B, after one warm-up of each."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in track(range(runs), description=what, console=Console(stderr=True))]
    return [a for a, _ in pairs], [b for _, b in pairs]


def count_calls(arm: Arm, out: Path, environment: dict[str, str]) -> int:
    """File-metadata calls of a command and its children, by strace, whose own file `out` is outside of the arm's folder."""
    subprocess.run(
        ["strace", "-f", "-c", "-e", f"trace={METADATA}", "-o", str(out), *arm.command],
        cwd=arm.folder, env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return sum(
        int(found[1])
        for line in out.read_text().splitlines()
        if (found := re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s", line)) and "total" not in line
    )


def tiny(ranks: int) -> list[str]:
    return [
        sys.executable, "-m", "launcher", "+experiment=tiny", "cluster=local", "trainer.max_steps=1", "data.eval_path=null",
        f"resources.gpus_per_node={ranks}", "batch.micro_batch_size=1", "--json",
    ]  # fmt: skip


def plan(folder: Path, environment: dict[str, str], ranks: int) -> Path:
    done = subprocess.run(
        [*tiny(ranks), "dry_run=true"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(json.loads(done.stdout)["run_dir"])


def launched(folder: Path, environment: dict[str, str], ranks: int) -> float:
    began = time.time()
    done = subprocess.run(
        tiny(ranks), cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return first_step(Path(json.loads(done.stdout)["run_dir"])) - began


def torchrun(run_dir: Path, environment: dict[str, str], ranks: int) -> float:
    """The same script, on a run dir that is planned already, under torchrun: no Hydra, no plan, no supervisor."""
    (run_dir / "metrics.jsonl").unlink(missing_ok=True)
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    began = time.time()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={ranks}",
        "-m",
        "launcher.train",
        str(run_dir),
    ]
    subprocess.run(command, env=environment | {"CUDA_VISIBLE_DEVICES": ""}, check=True, capture_output=True)
    return first_step(run_dir) - began


def first_step(run_dir: Path) -> float:
    line = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[0])
    return datetime.fromisoformat(line["time"]).timestamp()


def report(
    login: tuple[list[float], list[float]],
    calls: list[int],
    steps: dict[int, tuple[list[float], list[float]]],
) -> int:
    table = Table("", "ours", "peer", "difference", "bar")
    ours, bare = map(statistics.median, login)
    ratio, more = ours / bare, calls[0] - calls[1]
    table.add_row(
        f"login path, s (peer: bare Hydra; n={LOGIN_RUNS})",
        f"{ours:.3f}",
        f"{bare:.3f}",
        f"x {ratio:.2f}",
        f"x {BAR_RATIO}",
    )
    table.add_row("file-metadata calls", f"{calls[0]:,}", f"{calls[1]:,}", f"+ {more:,}", f"+ {BAR_CALLS:,}")
    met = ratio <= BAR_RATIO and more <= BAR_CALLS
    later = {}
    for ranks, pair in steps.items():
        ours, bare = map(statistics.median, pair)
        later[ranks] = ours - bare
        met = met and later[ranks] <= BAR_STEP_S
        table.add_row(
            f"first step, {ranks} rank(s), s (peer: torchrun; n={STEP_RUNS})",
            f"{ours:.2f}",
            f"{bare:.2f}",
            f"{later[ranks]:+.2f}",
            f"{BAR_STEP_S:+}",
        )
    Console(width=120).print(table)
    said = ", ".join(f"first step {seconds:+.2f} s with {ranks} rank(s)" for ranks, seconds in later.items())
    print(f"{'met' if met else 'MISSED'}: login path x {ratio:.2f} and {more:+,} metadata calls, {said}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
