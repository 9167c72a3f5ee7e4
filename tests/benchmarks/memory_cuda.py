"""The CUDA arm of memory.py: torch.cuda.max_memory_allocated of real runs against their plans.

It needs one GPU of 80 GB, and has never been run. Beside our figures are accelerate's estimate-memory, DeepSpeed's ZeRO
estimator and torch's MemTracker, as far as each answers for a case (memory_peers.py, which needs no GPU).
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.memory_peers import KEYS, NAMES, peers
from tests.support.runs import command, environment

MODELS = {
    "0.5B": (1024, 2816, 24, 16, 8, 128_256),
    "1.5B": (2048, 5632, 24, 16, 8, 128_256),
    "8B": (4096, 14336, 32, 32, 8, 128_256),
}
METHODS = {"full": [], "lora": ["lora"], "qlora": ["qlora"]}
LENGTHS = (1024, 4096, 8192)
MEDIAN_BAR, WORST_BAR = 0.03, 0.10


def main() -> int:
    import torch

    if not torch.cuda.is_available():
        print("MISSED: no GPU here, so nothing was measured")
        return 1
    size = torch.cuda.get_device_properties(0).total_memory / 2**30
    table = Table("model", "method", "ckpt", "length", "planned GiB", "measured GiB", "off", *NAMES)
    offs: list[float] = []
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = (json.dumps({"text": "abcdefgh " * 2000}) for _ in range(16))
        (folder / "data.jsonl").write_text("\n".join(rows))
        for model, method, checkpointing, length in itertools.product(
            MODELS, METHODS, (False, True), LENGTHS
        ):
            planned, measured = run(folder, model, method, checkpointing, length, size)
            wrong += measured is None and planned <= size
            off = None if measured is None else (planned - measured) / measured
            offs += [] if off is None else [abs(off)]
            table.add_row(
                model, method, "yes" if checkpointing else "no", str(length), f"{planned:.2f}",
                "out of memory" if measured is None else f"{measured:.2f}", "" if off is None else f"{off:+.1%}",
                *peers(MODELS[model], method, checkpointing, length),
            )  # fmt: skip
    Console(width=160).print(table)
    met = bool(offs) and statistics.median(offs) <= MEDIAN_BAR and max(offs) <= WORST_BAR and not wrong
    print(
        f"{'met' if met else 'MISSED'}: off by {statistics.median(offs):.1%} in the median and {max(offs):.1%} at worst of "
        f"{len(offs)} cases; {wrong} fitted by the plan and did not"
    )
    return 0 if met else 1


def run(
    folder: Path, model: str, method: str, checkpointing: bool, length: int, size: float
) -> tuple[float, float | None]:
    """Planned and measured peak in GiB; None where the run ended out of memory."""
    plugins = [*METHODS[method], *(["gradient_checkpointing"] if checkpointing else [])]
    shape = [f"model.architecture.{key}={value}" for key, value in zip(KEYS, MODELS[model], strict=True)]
    done = subprocess.run(
        command(
            "+experiment=tiny", "cluster=local", "--json", "force=true", f"plugin=[{','.join(plugins)}]", *shape,
            f"cluster.gpu_memory_gib={size}", "cluster.context_gib=0", "cluster.fragmentation=0",
            f"model.max_length={length}", "data.format=text",
            "data.path=data.jsonl", "data.eval_path=null", "data.check=off", "trainer.assistant_only_loss=false",
            "trainer.max_steps=4", "batch.global_batch_size=1", "batch.micro_batch_size=1",
        ),
        cwd=folder, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    path = Path(json.loads(done.stdout.splitlines()[0])["run_dir"])
    planned: float = json.loads((path / "plan.json").read_text())["memory"]["total"]
    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    found: list[dict[str, Any]] = [event for event in events if event["event"] == "measured"]
    if done.returncode and not any("out of memory" in str(event).lower() for event in events):
        raise SystemExit(
            f"MISSED: {model} {method} {length} ended with {done.returncode}: {done.stderr[-1000:]}"
        )
    return planned, max((event["peak_gib"] for event in found), default=None)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    sys.exit(main())
