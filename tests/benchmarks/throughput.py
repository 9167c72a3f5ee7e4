"""Tokens a second of training: a bare PyTorch loop, trl's SFTTrainer, the same with packing, and ours.

    python -m tests.benchmarks.throughput [--rounds 8] [--case tiny] [--clock cpu] [--cuda]

All arms train the same model on the same documents, chats of many lengths, tokenized once. Each is a process that stays; they
take turns of a few steps in one run, in another order every round, so that whatever else this machine does falls on all of
them alike. Ours is the launcher's own rank (python -m launcher.train) of a planned run. Tokens are those of documents: padding
counts for nothing. Of each arm the median of its turns counts, after one that warms up; on a machine that others use too,
--clock cpu counts CPU time. Bars: ours at least as fast as the best arm of trl, and at least 0.9 of the bare loop with our
batches. MFU and HFU are against a matrix product timed in the same run. --cuda takes models of 0.5B to 8B with random weights
in bf16 on a GPU; it has not been run: no GPU was at hand.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.memory_cuda import KEYS, MODELS
from tests.support.runs import command, environment

BAR_TRL, BAR_BARE = 1.0, 0.9
ARMS = ("bare", "trl", "trl_packing", "ours")
NAMES = {
    "bare": "bare PyTorch loop, our batches",
    "trl": "trl SFTTrainer, its defaults",
    "trl_packing": "trl SFTTrainer, packing (bfd)",
    "ours": "ours",
}
SAID = "the keeper climbs up to the lamp and looks at ships that pass far out before night falls over rock"
WORDS = SAID.split()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model and batch shape; the number of documents a step is that of packed rows on average."""

    name: str
    overrides: list[str]
    max_length: int
    rows: int = 2
    accumulation: int = 1
    words: float = 4.0
    """Mean of the logarithm of a chat's words."""
    lora: bool = True
    precision: str = "fp32"
    turn: int = 2
    attention: str | None = None


CASES = [
    Case(
        name="tiny Llama, full, fp32", overrides=["+experiment=tiny", "plugin=[]"], max_length=512, rows=4, lora=False,
        words=2.6, turn=10,  # a turn is then a second, of which waking up is no part to speak of
    ),
    Case(
        name="SmolLM2-135M, LoRA, bf16", overrides=["+experiment=quickstart", "plugin=[lora]"], max_length=256,
        precision="bf16", turn=1, words=3.2,
    ),
]  # fmt: skip
CUDA_CASES = [
    Case(
        name=f"{name} random, {'LoRA' if lora else 'full'}, bf16, {length} tokens",
        overrides=[
            "+experiment=tiny", f"plugin=[{'lora' if lora else ''}]",
            *(f"model.architecture.{key}={value}" for key, value in zip(KEYS, shape, strict=True)),
        ],
        max_length=length, rows=rows, lora=lora, precision="bf16", turn=5, words=5.5,
    )
    for name, shape in MODELS.items()
    for lora, length, rows in ((True, 4096, 4), (False, 4096, 2))
    if lora or name != "8B"  # in full it needs more than a GPU of 80 GB
]  # fmt: skip


@dataclass
class Arm:
    """A process that trains, and what it has measured."""

    name: str
    process: subprocess.Popen[bytes]
    words: Any
    out: Any
    log: Path
    tokens_of_a_turn: float = 0.0
    seconds: list[float] = field(default_factory=list[float])

    def turn(self) -> dict[str, Any]:
        """Lets it train for a turn and returns what it says."""
        self.words.write("go\n")
        self.words.flush()
        return self.listen()

    def listen(self) -> dict[str, Any]:
        line = self.out.readline()
        if not line:
            raise SystemExit(f"MISSED: the arm {self.name} ended early\n{self.log.read_text()[-3000:]}")
        return json.loads(line)

    @property
    def rate(self) -> float:
        """Tokens a second, by the median turn."""
        return self.tokens_of_a_turn / statistics.median(self.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Tokens a second, ours and what people use.")
    parser.add_argument("--rounds", type=int, default=8, help="turns of every arm that count")
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: seconds of CPU time, where others use the machine too",
    )
    parser.add_argument("--cuda", action="store_true", help="large random models on a GPU")
    options = parser.parse_args()
    cases = [case for case in (CUDA_CASES if options.cuda else CASES) if options.case in case.name]
    verdicts: list[tuple[str, float, float]] = []
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            arms, flops, peak = measure(case, Path(name), options.rounds, options.clock)
        rates = {arm.name: arm.rate for arm in arms}
        show(case, arms, flops, peak, options.clock)
        against_trl = rates["ours"] / max(rates["trl"], rates["trl_packing"])
        verdicts.append((case.name, against_trl, rates["ours"] / rates["bare"]))
    met = bool(verdicts) and all(trl >= BAR_TRL and bare >= BAR_BARE for _, trl, bare in verdicts)
    said = "; ".join(
        f"{name}: x {trl:.2f} of the best trl arm, x {bare:.2f} of the bare loop"
        for name, trl, bare in verdicts
    )
    print(f"{'met' if met else 'MISSED'} (bars {BAR_TRL} and {BAR_BARE}): {said}")
    return 0 if met else 1


def measure(
    case: Case, folder: Path, rounds: int, clock: str, names: tuple[str, ...] = ARMS
) -> tuple[list[Arm], Any, float]:
    """The arms of those names after their turns, what counts a step's FLOPs, and the rate of a matrix product in FLOP/s."""
    write_chats(folder / "chats.jsonl", case)
    run = plan(case, folder)
    rows, documents, model, pad = tokenize(run, folder)
    settings = {
        "model": model, "pad": pad, "lora": case.lora, "max_length": case.max_length, "accumulation": case.accumulation,
        "micro_batch": case.rows, "steps_of_a_turn": case.turn, "dtype": run["dtype"], "autocast": run["autocast"],
        "attention": case.attention, "documents_micro_batch": max(1, round(case.rows * documents["per_row"])),
        "output": str(folder / "out"), "logging_steps": 1,
    }  # fmt: skip
    arms = [start(arm, settings, rows, documents, run, folder) for arm in names]
    packed_turn = rows["mean"] * case.rows * case.accumulation * case.turn
    for arm in arms:
        arm.listen()
        arm.tokens_of_a_turn = packed_turn
        if arm.name == "trl":
            arm.tokens_of_a_turn = (
                documents["mean"] * settings["documents_micro_batch"] * case.accumulation * case.turn
            )
    peaks: list[float] = []
    for turn in range(rounds + 1):
        for arm in random.Random(turn).sample(arms, len(arms)):
            said = arm.turn()
            arm.seconds += [said[clock]] if turn else []  # the first warms up
        peaks.append(matmul_flops(case.precision))
    for arm in arms:
        arm.words.close()
        arm.process.wait()
    return arms, run["flops"], max(peaks)


def write_chats(path: Path, case: Case) -> None:
    """Chats of one to three turns, whose lengths are spread as those of people's: a log-normal."""
    draw = random.Random(0)
    with path.open("w") as file:
        for _ in range(1600):
            turns: list[dict[str, str]] = []
            for _ in range(draw.choice((1, 1, 2, 3))):
                for role, less in (("user", 1.0), ("assistant", 0.0)):
                    count = max(2, int(draw.lognormvariate(case.words - less, 0.8)))
                    turns.append({"role": role, "content": " ".join(draw.choices(WORDS, k=count))})
            file.write(json.dumps({"messages": turns}) + "\n")


def plan(case: Case, folder: Path) -> dict[str, Any]:
    """A planned run of ours, not started, and what its plan says."""
    from launcher.plan.flops import count_flops
    from launcher.plugins.decide import read_run
    from launcher.run import RunDir

    done = subprocess.run(
        command(
            *case.overrides, "cluster=local", f"cache_dir={folder / 'cache'}", "dry_run=true", "--json",
            "data.path=chats.jsonl", "data.eval_path=null", "data.check=off", f"model.max_length={case.max_length}",
            f"batch.micro_batch_size={case.rows}",
            f"batch.global_batch_size={case.rows * case.accumulation}", f"trainer.precision={case.precision}",
            "trainer.max_steps=1000000", "trainer.sample_prompt=null", "trainer.learning_rate=1e-4", "trainer.loss_spike=null",
            "trainer.packing=true",
            f"+plugins.baton._target_={__package__}.throughput_arm.Baton", f"+plugins.baton.steps={case.turn}",
            *([f"model.attn_implementation={case.attention}"] if case.attention else []),
        ),
        cwd=folder, env=environment(PYTHONPATH=str(Path.cwd())), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"MISSED: no plan\n{done.stderr}")
    path = Path(json.loads(done.stdout.splitlines()[0])["run_dir"])
    decided = read_run(RunDir(path))
    return {
        "path": path, "decided": decided, "flops": count_flops(decided.plan), "dtype": decided.plan.weights_dtype,
        "autocast": decided.plan.mixed_precision == "bf16",
    }  # fmt: skip


def tokenize(run: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any], str, int]:
    """The same documents packed and each for itself, with their files; the model's folder; its padding token."""
    import numpy as np
    from datasets import Dataset

    from launcher.train.data.cache import ROWS
    from launcher.train.data.rows import RowCounts
    from launcher.train.data.tokens import make_rows
    from launcher.train.model import load_tokenizer, source_of

    decided = run["decided"]
    config = decided.config
    model = source_of(config.model, decided.plan.facts, config.seed)[0]
    tokenizer = load_tokenizer(config.model, decided.plan.facts, config.seed)
    found: list[dict[str, Any]] = []
    for packing in (True, False):
        config.trainer.packing = packing
        where = folder / f"packed_{packing}"
        where.mkdir()
        make_rows(where, "train", str(folder / "chats.jsonl"), tokenizer, config, lambda count: None)
        counts = RowCounts(Dataset.from_file(str(where / ROWS)))
        found.append(
            {"file": str(where / ROWS), "mean": float(np.mean(counts.tokens)), "rows": len(counts.tokens),
             "trained": float(np.mean(counts.trained)), "pairs": float(np.mean(counts.pairs))}
        )  # fmt: skip
    rows, documents = found
    documents["per_row"] = documents["rows"] / rows["rows"]
    run["of_a_row"] = rows
    return rows, documents, model, tokenizer.pad_token_id


def start(
    arm: str,
    settings: dict[str, Any],
    rows: dict[str, Any],
    documents: dict[str, Any],
    run: dict[str, Any],
    folder: Path,
) -> Arm:
    """The arm's process, loading."""
    there, words = os.pipe()
    out, back = os.pipe()
    argv = [sys.executable, "-m", "launcher.train", str(run["path"])]
    if arm != "ours":
        file = rows["file"] if arm == "bare" else documents["file"]
        path = folder / f"{arm}.json"
        path.write_text(json.dumps({**settings, "arm": arm, "rows": file}))
        argv = [sys.executable, "-m", "tests.benchmarks.throughput_arm", str(path)]
    threads = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    quiet = {
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
        "THROUGHPUT_FDS": f"{there},{back}",
    }
    more = run["decided"].plan.env if arm == "ours" else {}
    with (folder / f"{arm}.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env={**environment(**more), **quiet, **threads, "PYTHONPATH": str(Path.cwd())}, pass_fds=(there, back),
            stdout=log, stderr=log,
        )  # fmt: skip
    os.close(there)
    os.close(back)
    return Arm(arm, process, os.fdopen(words, "w"), os.fdopen(out), folder / f"{arm}.log")


def matmul_flops(precision: str) -> float:
    """FLOP/s of the best of a few large matrix products in the precision that is trained in."""
    import torch

    cuda = torch.cuda.is_available()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1))))
    side = 8192 if cuda else 1024
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix = torch.rand(side, side, dtype=dtype, device="cuda" if cuda else "cpu")
    best = 0.0
    for _ in range(5):
        begun = time.perf_counter()
        torch.mm(matrix, matrix)
        if cuda:
            torch.cuda.synchronize()
        best = max(best, 2 * side**3 / (time.perf_counter() - begun))
    return best


def show(case: Case, arms: list[Arm], flops: Any, peak: float, clock: str) -> None:
    """The table of a case."""
    ours = next(arm for arm in arms if arm.name == "ours").rate
    table = Table(
        "arm",
        "tokens/s" if clock == "wall" else "tokens/CPU s",
        "spread",
        "ours is",
        "MFU",
        "HFU",
        title=f"{case.name}, {case.rows} x {case.max_length} tokens a step",
    )
    for arm in arms:
        low, high = min(arm.seconds), max(arm.seconds)
        table.add_row(
            NAMES[arm.name], f"{arm.rate:,.0f}", f"{arm.tokens_of_a_turn / high:,.0f} to {arm.tokens_of_a_turn / low:,.0f}",
            "" if arm.name == "ours" else f"x {ours / arm.rate:.2f}", *utilization(arm, flops, peak),
        )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    console.print(f"matrix product: {peak / 1e9:,.1f} GFLOP/s", highlight=False)


def utilization(arm: Arm, flops: Any, peak: float) -> tuple[str, str]:
    """MFU and HFU of our packed rows; another layout's attention and head are not counted."""
    if arm.name not in ("ours", "bare") or flops is None:
        return "", ""
    return f"{flops.model(arm.rate, 0) / peak:.1%}", f"{flops.hardware(arm.rate, arm.rate, 0) / peak:.1%}"


if __name__ == "__main__":
    if shutil.which("nvidia-smi") is None and "--cuda" in sys.argv:
        print("MISSED: no GPU here, so nothing was measured")
        sys.exit(1)
    sys.exit(main())
