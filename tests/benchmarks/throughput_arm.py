"""One arm of the throughput benchmark: a process that trains, and pauses after a given number of steps until it is resumed.

    python -m tests.benchmarks.throughput_arm SETTINGS.json        # bare, trl, trl_packing
    python -m launcher.train RUN_DIR, with the plugin Baton         # ours: the launcher's own rank

The driver and an arm talk over two pipes, whose descriptors stand in THROUGHPUT_FDS: a line `go`, and a line of JSON back.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.plugins.base import Plugin


class Turns:
    """The arm's end of the pipes."""

    def __init__(self, steps: int) -> None:
        """`steps`: how many of them a turn has."""
        reading, writing = map(int, os.environ["THROUGHPUT_FDS"].split(","))
        self.words, self.out = os.fdopen(reading), os.fdopen(writing, "w")
        self.steps, self.done, self.began, self.computed = steps, 0, 0.0, 0.0

    def wait(self) -> None:
        """Says that this arm is ready, and returns when it is its turn."""
        self.say({"ready": True})

    def step(self) -> None:
        """Called after every optimizer step; the last of a turn is told with its time."""
        self.done += 1
        if self.done % self.steps == 0:
            synchronize()
            wall, cpu = time.perf_counter() - self.began, time.process_time() - self.computed
            self.say({"wall": wall, "cpu": cpu})

    def say(self, word: dict[str, Any]) -> None:
        self.out.write(json.dumps(word) + "\n")
        self.out.flush()
        if not self.words.readline():
            os._exit(0)  # the driver has what it wants
        self.began, self.computed = time.perf_counter(), time.process_time()


def synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True, kw_only=True)
class Baton(Plugin):
    """Hands the turn back from within the launcher's own training loop."""

    steps: int = 1

    def on_trainer(self, trainer: Any) -> Any:
        trainer.add_callback(make_callback(Turns(self.steps)))
        return trainer


def make_callback(turns: Turns) -> Any:
    """A callback of transformers' Trainer that waits for its turn."""
    from transformers import TrainerCallback

    class Waits(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            turns.wait()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            turns.step()

    return Waits()


def main() -> int:
    import torch
    import transformers
    from datasets import Dataset

    settings = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(0)
    cuda = torch.cuda.is_available()
    options = {"attn_implementation": settings["attention"]} if settings["attention"] else {}
    dtype = getattr(torch, settings["dtype"])
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model"], dtype=dtype, **options)
    if settings["lora"]:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    model.to("cuda" if cuda else "cpu")
    rows = Dataset.from_file(settings["rows"])
    turns = Turns(settings["steps_of_a_turn"])
    if settings["arm"] == "bare":
        train_bare(model, rows, settings, turns)
    else:
        train_trl(model, rows, settings, turns)
    return 0


def train_bare(model: Any, rows: Any, settings: dict[str, Any], turns: Turns) -> None:
    """Nothing but forward, backward and step, on batches that were made before: the shape and layout are ours."""
    import torch

    from launcher.train.data.packing import Collator
    from launcher.train.methods.sft import takes_lengths

    device = next(model.parameters()).device
    size, accumulation = settings["micro_batch"], settings["accumulation"]
    collate = Collator(settings["pad"], varlen=takes_lengths(model))
    batches = [
        collate([rows[n] for n in range(at, at + size)]) for at in range(0, len(rows) - size + 1, size)
    ]
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    mixed = cuda_autocast(device, settings["autocast"])
    model.train()
    turns.wait()
    at = 0
    while True:
        step = [batches[(at + n) % len(batches)] for n in range(accumulation)]
        at += accumulation
        step = [
            {key: value.to(device) if hasattr(value, "to") else value for key, value in one.items()}
            for one in step
        ]
        count = sum(int((one["labels"][:, 1:] != -100).sum()) for one in step)
        for batch in step:
            with mixed():
                model(**batch, use_cache=False, num_items_in_batch=count).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        turns.step()


def cuda_autocast(device: Any, wanted: bool) -> Any:
    import contextlib

    import torch

    return (lambda: torch.autocast(device.type, torch.bfloat16)) if wanted else contextlib.nullcontext


def train_trl(model: Any, rows: Any, settings: dict[str, Any], turns: Turns) -> None:
    """trl's trainer. Its default is all its own but for the batch; with packing it has our precision and no checkpointing."""
    import torch
    import transformers
    from trl import SFTConfig, SFTTrainer

    tokenizer = transformers.AutoTokenizer.from_pretrained(settings["model"])
    packing = settings["arm"] == "trl_packing"
    own: dict[str, Any] = (
        {"packing": True, "bf16": settings["autocast"], "gradient_checkpointing": False} if packing else {}
    )
    args = SFTConfig(
        output_dir=settings["output"],
        per_device_train_batch_size=settings["micro_batch" if packing else "documents_micro_batch"],
        gradient_accumulation_steps=settings["accumulation"],
        max_steps=1_000_000,
        max_length=settings["max_length"],
        learning_rate=1e-4,
        logging_steps=settings["logging_steps"],
        save_strategy="no",
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        **own,
    )
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[make_callback(turns)],
    )
    trainer.train()


if __name__ == "__main__":
    sys.exit(main())
