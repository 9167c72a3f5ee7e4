"""Planned runs of the tiny model, started and killed through the warm process."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.support import preloaded
from tests.support.runs import Finished, environment

TWO = ("resources.gpus_per_node=2", "batch.micro_batch_size=1")
STRATEGIES = ("ddp", "zero1", "zero2", "zero3", "fsdp2")
METHODS = {
    "full": ("plugin=[sharded_checkpoint,gradient_checkpointing]",),
    "lora": ("plugins.lora.dropout=0.1",),
    "qlora": ("plugin=[qlora,sharded_checkpoint]",),
}
SAMPLES = """
import hashlib, json, os
from launcher.plugins.base import Plugin

class Samples(Plugin):
    def on_trainer(self, trainer):
        collate = trainer.data_collator
        def noting(features):
            ids = [hashlib.sha256(str(feature["input_ids"]).encode()).hexdigest()[:12] for feature in features]
            attempt, step = int(os.environ["LAUNCHER_ATTEMPT"]), trainer.state.global_step
            with open(os.path.join(os.path.dirname(trainer.args.output_dir), "samples.jsonl"), "a") as file:
                file.write(json.dumps({"attempt": attempt, "step": step, "ids": ids}) + "\\n")
            return collate(features)
        trainer.data_collator = noting
        return trainer
"""


def planned(folder: Path, cache: Path, *overrides: str) -> Finished:
    """A run dir of 20 steps with a save every 10, not started; its samples are noted beside its metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "noting_samples.py").write_text(SAMPLES)
    arguments = (
        "+experiment=tiny", "cluster=local", f"cache_dir={cache}", "dry_run=true", "--json", "data.eval_path=null",
        "trainer.max_steps=20", "plugins.sharded_checkpoint.save_steps=10", "+plugins.samples._target_=noting_samples.Samples",
        *overrides,
    )  # fmt: skip
    done = preloaded.run(arguments, folder, environment(), timeout_s=120)
    assert done.returncode == 0, done.stderr
    return Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))


def samples(run: Finished, first: int = 0) -> list[list[str]]:
    """The samples of every step from `first` on, in the last attempt that took it, in no order within a step."""
    steps: dict[int, list[str]] = {}
    lines = [json.loads(line) for line in (run.path / "samples.jsonl").read_text().splitlines()]
    last = {line["step"]: line["attempt"] for line in sorted(lines, key=lambda line: line["attempt"])}
    for line in lines:
        if line["attempt"] == last[line["step"]]:
            steps.setdefault(line["step"], []).extend(line["ids"])
    return [sorted(steps[step]) for step in sorted(steps) if step >= first]


def checkpoint(run: Finished, step: int) -> Path:
    return run.path / "checkpoints" / f"step_{step:08d}"


def steps(run: Finished) -> Sequence[int]:
    """Steps that have a folder with a checkpoint's name."""
    return sorted(int(path.name.removeprefix("step_")) for path in run.path.glob("checkpoints/step_*"))
