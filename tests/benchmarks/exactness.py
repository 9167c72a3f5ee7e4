"""Whether ranks that share a run train what one rank trains.

    python -m tests.benchmarks.exactness [--sample] [--only TEXT]

Each case trains the tiny model for a few steps on CPU ranks (gloo, fp32), and again on one rank with the same global batch.
Compared are the training loss of every step, the loss of the evaluation, the update of all trained weights (the norm of the
difference over the norm of one rank's update), and the logged norm of the gradients. The bar is 1e-6, relative. SGD hides no
wrong factor of the gradients, which AdamW and the clipping of gradients divide out, so only AdamW's cases clip. Muon has
bars of its own (ROUNDED).

To add a degree, add its cases to CASES: a Case holds the overrides that distinguish it. --only TEXT runs the cases whose line
in the table contains TEXT.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from launcher.__main__ import main as launcher
from launcher.run import RunDir
from tests.support.paths import ROOT
from tests.support.tiny_model import write_experts
from tests.support.warm import Warm

BAR = 1e-6
ROUNDED = (1e-5, 2e-2, 1e-5)
"""The bars of loss, update and norm with Muon. torch orthogonalizes in bf16, where the last bit of a gradient becomes visible
in its smallest directions: one rank with micro-batches of 4 in place of 2 rows differs by 1.2e-2 from itself."""
STEPS = 3
EVALUATION = ROOT / "conf" / "data" / "quickstart" / "eval.jsonl"
STRATEGIES = ("zero3", "zero2", "zero1", "ddp", "fsdp2")
METHODS = {"full": "", "lora": "lora", "qlora": "qlora"}
ROWS = {
    "whole": ("trainer.packing=false", "trainer.assistant_only_loss=false"),
    "masked": ("trainer.packing=false",),
    "packed": ("trainer.packing=true",),
}
"""Rows with a loss on every token, on the answers alone, and rows of several documents."""
OPTIMIZERS = {
    "sgd": ("trainer.optim=sgd", "trainer.learning_rate=0.1", "trainer.max_grad_norm=1e6"),
    "adamw": ("trainer.learning_rate=1e-3", "trainer.adam_epsilon=1e-3", "trainer.max_grad_norm=0.5"),
    "muon": (
        "trainer.optim=muon",
        "trainer.learning_rate=1e-3",
        "trainer.adam_epsilon=1e-3",
        "trainer.weight_decay=0.1",
    ),
}
"""With AdamW's own epsilon, the update of a weight with a gradient near 0 would be the sign of a rounding error."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run on several ranks."""

    strategy: str
    ranks: int
    degrees: tuple[str, ...] = ()
    """Overrides of the degrees, such as strategy.sequence_parallel_size=2."""
    method: str = "full"
    rows: str = "masked"
    optimizer: str = "sgd"
    checkpointing: bool = False
    also: tuple[str, ...] = ()
    """Overrides of this run and of the one on one rank."""
    experts: bool = False
    """Whether the model is a mixture of experts."""
    sampled: bool = False
    """Whether --sample, and the test in CI, has it."""

    @property
    def told(self) -> tuple[str, ...]:
        """The cells of its line."""
        degrees = " ".join(one.removeprefix("strategy.") for one in self.degrees)
        also = (one.removeprefix("plugins.") for one in self.also)
        recomputed = " ".join(["recomputed"] * self.checkpointing + ["experts"] * self.experts + [*also])
        return (
            self.strategy, str(self.ranks), degrees, self.method, self.rows, self.optimizer, recomputed,
        )  # fmt: skip

    def overrides(self) -> list[str]:
        """What is typed for the run."""
        return [
            f"strategy={self.strategy}", f"resources.gpus_per_node={self.ranks}", *self.degrees,
            *self.training(checkpointing=self.checkpointing),
        ]  # fmt: skip

    def alone(self) -> list[str]:
        """What is typed for the same training on one rank."""
        return ["strategy=ddp", "resources.gpus_per_node=1", *self.training(checkpointing=False)]

    def training(self, *, checkpointing: bool) -> list[str]:
        """What both have in common."""
        plugins = [METHODS[self.method], "gradient_checkpointing" if checkpointing else ""]
        return [
            *(EXPERTS if self.experts else ()),
            f"plugin=[{','.join(filter(None, plugins))}]", *ROWS[self.rows], *OPTIMIZERS[self.optimizer], *self.also,
        ]  # fmt: skip


EXPERTS = ("model.init=pretrained", "model.architecture=null", "model.name_or_path=FOLDER/experts")
"""A mixture of experts, which Bench writes into its FOLDER."""
FP32_ADAPTERS = {
    **dict.fromkeys(STRATEGIES, ("plugins.qlora.modules_to_save=[lm_head]",)),
    "fsdp2": ("plugins.qlora.use_dora=true",),
}
"""What keeps adapters over 4-bit weights in fp32. Otherwise they are bf16, whose rounding, of 4e-3, hides what is compared."""


def data_parallel() -> Iterator[Case]:
    """Ranks that take different samples, as every strategy has them."""
    for strategy in STRATEGIES:
        yield Case(strategy=strategy, ranks=2, sampled=strategy == "zero3")
        yield Case(strategy=strategy, ranks=2, method="lora", rows="packed", optimizer="adamw")


def sequence_parallel() -> Iterator[Case]:
    """Ranks that share sequences: two of two, two and two of four, and four, which is more than the two key-value heads."""
    for (ranks, size), checkpointing, rows, method, strategy in itertools.product(
        ((2, 2), (4, 4), (4, 2)), (False, True), ROWS, ("full", "lora"), STRATEGIES
    ):
        yield Case(
            strategy=strategy,
            ranks=ranks,
            degrees=(f"strategy.sequence_parallel_size={size}",),
            method=method,
            rows=rows,
            checkpointing=checkpointing,
            sampled=(strategy, ranks, method, rows, checkpointing) in SAMPLED,
        )
    for (method, rows), strategy in itertools.product((("full", "masked"), ("lora", "packed")), STRATEGIES):
        yield Case(
            strategy=strategy,
            ranks=2,
            degrees=("strategy.sequence_parallel_size=2",),
            method=method,
            rows=rows,
            optimizer="adamw",
        )
    for rows, strategy in itertools.product(("masked", "packed"), STRATEGIES):
        yield Case(
            strategy=strategy,
            ranks=2,
            degrees=("strategy.sequence_parallel_size=2",),
            method="qlora",
            rows=rows,
            also=FP32_ADAPTERS[strategy],
        )


SAMPLED = (
    ("zero3", 2, "full", "packed", False),
    ("zero2", 2, "lora", "masked", True),
    ("fsdp2", 2, "full", "masked", True),
    ("ddp", 2, "lora", "packed", False),
)


def hybrid() -> Iterator[Case]:
    """Two copies of a state that two ranks shard, a second copy of the weights on every two of four ranks, and both of these
    with two ranks to a sequence."""
    for strategy, degree in (("fsdp2", "strategy.dp_replicate_size=2"), ("zero3", "strategy.hpz_size=2")):
        shared = (degree, "strategy.sequence_parallel_size=2")
        for method, rows, checkpointing in itertools.product(("full", "lora"), ROWS, (False, True)):
            yield Case(
                strategy=strategy, ranks=4, degrees=(degree,), method=method, rows=rows, checkpointing=checkpointing,
                sampled=(method, rows, checkpointing) == ("full", "packed", True),
            )  # fmt: skip
        for rows, checkpointing in (("masked", False), ("packed", True)):
            yield Case(
                strategy=strategy, ranks=4, degrees=(degree,), method="qlora", rows=rows, checkpointing=checkpointing,
                also=FP32_ADAPTERS[strategy],
            )  # fmt: skip
        for method, degrees in itertools.product(("full", "lora"), ((degree,), shared)):
            yield Case(strategy=strategy, ranks=4, degrees=degrees, method=method, optimizer="adamw")
        for method in ("full", "lora"):
            yield Case(strategy=strategy, ranks=4, degrees=shared, method=method, rows="packed")


BALANCED = "trainer.router_aux_loss_coef=0.1"


def experts() -> Iterator[Case]:
    """A mixture of experts: its routers balanced over ranks that take different samples, and over micro-batches; with
    adapters on experts and routers; and ranks that share sequences."""
    for strategy, (method, also), (rows, checkpointing) in itertools.product(
        STRATEGIES,
        (("full", ()), ("lora", ("plugins.lora.router=true",))),
        (("packed", False), ("masked", True)),
    ):
        yield Case(
            strategy=strategy, ranks=2, method=method, rows=rows, checkpointing=checkpointing, also=(*also, BALANCED),
            experts=True, sampled=(strategy, method, checkpointing) == ("zero3", "lora", True),
        )  # fmt: skip
    for strategy in STRATEGIES:
        yield Case(
            strategy=strategy, ranks=2, rows="packed", experts=True, degrees=("strategy.sequence_parallel_size=2",),
            sampled=strategy == "zero2",
        )  # fmt: skip


def muon() -> Iterator[Case]:
    """Muon on ranks that hold whole matrices, shard them, and hold two copies of the shards."""
    for (strategy, ranks, degrees), method in itertools.product(
        (("ddp", 2, ()), ("fsdp2", 2, ()), ("fsdp2", 4, ("strategy.dp_replicate_size=2",))), ("full", "lora")
    ):
        yield Case(
            strategy=strategy, ranks=ranks, degrees=degrees, method=method, optimizer="muon",
            sampled=(strategy, method, ranks) == ("fsdp2", "full", 2),
        )  # fmt: skip


CASES = (*data_parallel(), *sequence_parallel(), *hybrid(), *experts(), *muon())


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run trained."""

    losses: list[float]
    """The training loss of every step, then that of the evaluation."""
    norms: list[float]
    """The logged norm of the gradients of every step."""
    update: dict[str, torch.Tensor]
    """Trained weights after training minus those before, by name."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Relative differences of a case from one rank."""

    case: Case
    loss: float
    update: float
    norm: float
    seconds: float

    @property
    def met(self) -> bool:
        """Whether all are within the bars; not a number is not."""
        bars = ROUNDED if self.case.optimizer == "muon" else (BAR, BAR, BAR)
        return all(one <= bar for one, bar in zip((self.loss, self.update, self.norm), bars, strict=True))


class NotTrained(Exception):
    """A run could not be planned, or ended with an error."""


class Bench:
    """Trains cases and compares them with one rank; a reference is trained once."""

    def __init__(self, folder: Path, cache: Path, warm: Warm) -> None:
        """`cache`: the cache_dir of the runs; `warm`: the process that forks their ranks."""
        self.folder, self.cache, self.warm = folder, cache, warm
        self._alone: dict[tuple[str, ...], Trained] = {}

    def compare(self, case: Case) -> Difference:
        """The differences of one case."""
        key = tuple(case.alone())
        if key not in self._alone:
            self._alone[key] = self.train(case.alone())
        began = time.monotonic()
        alone, found = self._alone[key], self.train(case.overrides())
        return Difference(
            case=case,
            loss=_worst(found.losses, alone.losses),
            update=_update(found.update, alone.update),
            norm=_worst(found.norms, alone.norms),
            seconds=time.monotonic() - began,
        )

    def train(self, overrides: list[str]) -> Trained:
        """Plans a run and trains it on this machine's cores."""
        if EXPERTS[-1] in overrides and not (self.folder / "experts").exists():
            write_experts(self.folder / "experts", seed=0)
        overrides = [one.replace("FOLDER", str(self.folder)) for one in overrides]
        arguments = [
            "+experiment=tiny", "cluster=local", "dry_run=true", "--json", "resources.device=cpu",
            f"runs_dir={self.folder}/runs", f"cache_dir={self.cache}", f"trainer.max_steps={STEPS}",
            "trainer.lr_scheduler_type=constant", "trainer.warmup_steps=0",
            "batch.global_batch_size=8", "batch.micro_batch_size=2", f"data.eval_path={EVALUATION}", "data.check=off",
            "+plugins.kept._target_=tests.benchmarks.exactness_rank.KeepUpdate", *overrides,
        ]  # fmt: skip
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = launcher(arguments)
        if code:
            raise NotTrained(f"{' '.join(overrides)} cannot be planned\n{said.getvalue()}")
        planned = next(line for line in said.getvalue().splitlines() if line.startswith("{"))
        run = RunDir(Path(json.loads(planned)["run_dir"]))
        done = self.warm.run(run.path, timeout_s=180)
        if any(done["codes"]):
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(run.logs.rglob("rank_*.log")))
            raise NotTrained(f"{' '.join(overrides)} ended with {done['codes']}\n{logs}")
        lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        steps = [line for line in lines if "loss" in line]
        return Trained(
            losses=[
                *(line["loss"] for line in steps),
                *(line["eval_loss"] for line in lines if "eval_loss" in line),
            ],
            norms=[line["grad_norm"] for line in steps],
            update=torch.load(run.path / "update.pt", weights_only=True),
        )


def _worst(found: list[float], alone: list[float]) -> float:
    """The largest relative difference of two equally long lists."""
    assert len(found) == len(alone) > 0
    return max(abs(one - other) / abs(other) for one, other in zip(found, alone, strict=True))


def _update(found: dict[str, torch.Tensor], alone: dict[str, torch.Tensor]) -> float:
    """The norm of the difference of two updates over that of the second; they must be of the same weights."""
    assert found.keys() == alone.keys() and alone
    wrong = sum(float((found[name] - alone[name]).square().sum()) for name in alone)
    whole = sum(float(one.square().sum()) for one in alone.values())
    return (wrong / whole) ** 0.5


def chosen(*, sample: bool, only: str) -> list[Case]:
    """The cases to run."""
    return [case for case in CASES if (case.sampled or not sample) and only in " ".join(case.told)]


def report(bench: Bench, cases: Iterable[Case], console: Console) -> list[Difference]:
    """Compares the cases, prints a line for each as it ends, and then the table."""
    table = Table(
        "strategy", "ranks", "degrees", "method", "rows", "optimizer", "", "loss", "update", "norm", "s", ""
    )
    held: list[Difference] = []
    for case in cases:
        try:
            one = bench.compare(case)
        except NotTrained as error:
            print(error, flush=True)
            one = Difference(case=case, loss=math.inf, update=math.inf, norm=math.inf, seconds=0.0)
        held.append(one)
        figures = [f"{value:.1e}" for value in (one.loss, one.update, one.norm)]
        verdict = "" if one.met else "MISSED"
        table.add_row(*map(escape, case.told), *figures, f"{one.seconds:.1f}", verdict)
        print(*filter(None, case.told), "loss, update, norm:", *figures, verdict, flush=True)
    console.print(table)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs on several ranks against one rank.")
    parser.add_argument("--sample", action="store_true", help="only a few cases")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose line contains TEXT")
    options = parser.parse_args()
    cases = chosen(sample=options.sample, only=options.only)
    if not cases:
        print(f"MISSED: no case has {options.only!r} in its line")
        return 1
    with tempfile.TemporaryDirectory() as name:
        warm, cache = Warm(), Path(name) / "cache"
        cache.mkdir()
        operators = (
            Path.home() / ".cache" / "launcher_tests" / "torch_extensions"
        )  # they take a minute to compile
        operators.mkdir(parents=True, exist_ok=True)
        (cache / "torch_extensions").symlink_to(operators)
        bench = Bench(Path(name), cache, warm)
        held = report(bench, cases, Console(width=160))
        warm.close()
    missed = [one for one in held if not one.met]
    worst = {
        kind: max(
            itertools.chain([0.0], (getattr(one, kind) for one in held if one.case.optimizer != "muon"))
        )
        for kind in ("loss", "update", "norm")
    }
    said = ", ".join(f"{kind} {value:.1e}" for kind, value in worst.items())
    print(
        f"{'MISSED' if missed else 'met'}: {len(held) - len(missed)} of {len(held)} cases train what one rank trains, within "
        f"{BAR:.0e}; at worst {said}"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
