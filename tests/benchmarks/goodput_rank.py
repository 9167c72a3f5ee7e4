"""What runs on the ranks of tests/benchmarks/goodput.py: the journal, the slow step with its faults, and the peers' script.

Every arm writes the same journal, a JSON line for each moment of a rank: process, imported, loaded, step, saved.
"""

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from launcher.plugins.base import Plugin
from launcher.run import RunDir, append_line

STEP_S = 0.1
"""Seconds that every step sleeps, so that two cores carry the ranks of two nodes."""


def note(folder: Path, what: str, **facts: Any) -> None:
    """A line of the journal."""
    host, pid = socket.gethostname(), os.getpid()
    line = {"time": time.time(), "what": what, "rank": int(os.environ["RANK"]), "host": host, "pid": pid}
    append_line(folder / "journal.jsonl", {**line, "process": f"{host}/{pid}/{_start_ticks()}", **facts})


def process_start() -> float:
    """When this process began, by the clock."""
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - _start_ticks() / os.sysconf("SC_CLK_TCK"))


def _start_ticks() -> int:
    """When this process began, in ticks since boot. Source: proc(5), /proc/pid/stat, field 22."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def pace(folder: Path) -> Any:
    """A callback that sleeps in every step, raises on request, and writes the journal."""
    from transformers import TrainerCallback

    rank = int(os.environ["RANK"])
    fault = folder / f"raise_{rank}"

    class Pace(TrainerCallback):
        ended = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            note(folder, "loaded", step=state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            time.sleep(STEP_S)
            if fault.exists():
                fault.unlink(missing_ok=True)
                raise RuntimeError("a fault of the schedule")
            if rank == 0:
                note(folder, "step", step=state.global_step)
            self.ended = time.monotonic()

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if rank == 0:
                note(folder, "saved", step=state.global_step, blocked_s=time.monotonic() - self.ended)

    return Pace()


@dataclass(frozen=True, kw_only=True)
class Paced(Plugin):
    """Ours: the same callback, as a plugin."""

    folder: str = ""

    def on_plan(self, plan: Any) -> Any:
        """The first that a rank hears of a plugin; where it was forked from a warm process, all is imported."""
        if "RANK" in os.environ and "LAUNCHER_ATTEMPT" in os.environ and not _begun:
            _begun.append(True)
            note(Path(self.folder), "process", time=process_start())
            if "launcher.train.session" in sys.modules:
                note(Path(self.folder), "imported")
        return plan

    def on_trainer(self, trainer: Any) -> Any:
        """Adds it."""
        trainer.add_callback(pace(Path(self.folder)))
        return trainer


_begun: list[bool] = []


class Peer:
    """The peers' training, as their users write it: transformers' Trainer, resumed from the newest checkpoint."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> None:
        """submitit's entry: one rank of a job."""
        import submitit.helpers

        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        train(Path(self.folder))

    def checkpoint(self) -> Any:
        """submitit's hook at a time limit or pre-emption: the same once more; the Trainer resumes."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Peer(self.folder))


def train(folder: Path) -> None:
    """One rank of a peer."""
    note(folder, "process", time=process_start())
    import datasets
    import peft
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )
    from transformers.trainer_utils import get_last_checkpoint

    note(folder, "imported")
    torch.set_num_threads(1)
    settings = json.loads((folder / "settings.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32)
    model.config.use_cache = False
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings["lora"]))
    output = folder / "checkpoints"
    # On CPU ranks the Trainer does not pass ddp_timeout on; a group that is there already is kept.
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=settings["timeout_s"]))
    args = TrainingArguments(output_dir=str(output), **settings["arguments"])
    trainer = Trainer(
        model=model, args=args, train_dataset=datasets.load_from_disk(settings["data"]),
        data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(settings["model"])), callbacks=[pace(folder)],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(output)) if output.is_dir() else None)


def prepare(run: RunDir, folder: Path) -> None:
    """Model, data and settings for `train`, all from a planned run of ours."""
    from launcher.plugins.decide import read_run
    from launcher.train.data.tokens import tokenized
    from launcher.train.model import load_tokenizer

    decided = read_run(run)
    config, plan = decided.config, decided.plan
    os.environ["RANK"] = "0"
    tokenizer = load_tokenizer(config.model, plan.facts, config.seed)
    tokenized(plan.facts.data_path, tokenizer, config).save_to_disk(folder / "data")
    lora = config.plugins["lora"]
    ours_alone = {"max_length", "packing", "activation_checkpointing", "save_strategy"}
    settings = {
        "model": tokenizer.name_or_path,
        "data": str(folder / "data"),
        "lora": {"r": lora["r"], "lora_alpha": lora["alpha"], "lora_dropout": lora["dropout"],
                 "target_modules": lora["target_modules"]},
        "arguments": {key: value for key, value in plan.trainer_args.items() if key not in ours_alone},
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    verb, where, *more = sys.argv[1:]
    if verb == "prepare":
        prepare(RunDir(Path(more[0])), Path(where))
    else:
        train(Path(where))
