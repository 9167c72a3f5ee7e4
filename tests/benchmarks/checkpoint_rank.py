"""One rank of tests/benchmarks/checkpoint.py."""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from transformers import TrainerCallback
from trl import SFTTrainer

from launcher.plugins.decide import read_run
from launcher.run import RunDir
from launcher.run.events.checkpoints import Saved
from launcher.train import resumable
from launcher.train.callbacks import Recorder
from launcher.train.checkpoint.saver import Saver
from launcher.train.checkpoint.schedule import Schedule
from launcher.train.checkpoint.selection import CheckpointSelection
from launcher.train.data.packing import Collator
from launcher.train.data.tokens import tokenized
from launcher.train.methods.parts import make_arguments
from launcher.train.methods.sft import ResumableSFT
from launcher.train.model import load_model, load_tokenizer


class Clock(TrainerCallback):
    """When the first step of this process ended."""

    first: float | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.first is None:
            self.first = time.time()
        if state.global_step % self.every == 0:
            control.should_save = True

    every = 1 << 30


class Dcp(SFTTrainer):
    """torch.distributed.checkpoint, as its tutorial uses it."""

    asynchronous = False
    group: Any = None
    future: Any = None

    def _state(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self.model, self.optimizer.optimizer)
        return {"model": model, "optimizer": optimizer}

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = f"{self.args.output_dir}/dcp-{self.state.global_step}"
        if self.asynchronous:
            if self.future is not None:
                self.future.result()
            self.future = dcp.async_save(self._state(), checkpoint_id=folder, process_group=self.group)
            begin = time.time()
            self.future.add_done_callback(lambda done: durable.append(time.time() - begin))
        else:
            dcp.save(self._state(), checkpoint_id=folder)

    def _load_from_checkpoint(self, *arguments: Any, **options: Any) -> None:
        pass

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        if checkpoint is None:
            return
        begin = time.time()
        state = self._state()
        dcp.load(state, checkpoint_id=checkpoint)
        set_state_dict(
            self.model,
            self.optimizer.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )
        loads.append(time.time() - begin)


durable: list[float] = []
loads: list[float] = []
blocked: list[float] = []


def main(path: str, arm: str, what: str) -> None:
    run = RunDir(Path(path))
    decided = read_run(run)
    config, plan = decided.config, decided.plan
    rank = int(os.environ["RANK"])
    args = make_arguments(run, plan)
    if arm != "ours":
        args.output_dir = f"{run.path}/{arm.replace(' ', '_')}"
    torch.set_num_threads(1)
    _ = args.device
    selection = CheckpointSelection(run, "auto", rank, 2, 1) if arm == "ours" and what == "resume" else None
    tokenizer = load_tokenizer(config.model, plan.facts, config.seed)
    model = load_model(config.model, plan, decided.plugins, config.seed)
    kind = {"ours": ResumableSFT, "Trainer": SFTTrainer}.get(arm, Dcp)
    recorder, clock = Recorder(run, plan, 1, rank == 0, config.trainer.loss_spike), Clock()
    collator = {"data_collator": Collator(tokenizer.pad_token_id, varlen=False)} if arm == "ours" else {}
    trainer = kind(
        model=model, args=args, train_dataset=tokenized(plan.facts.data_path, tokenizer, config), processing_class=tokenizer,
        callbacks=[recorder, clock], **collator,
    )  # fmt: skip
    recorder.rows = len(trainer.train_dataset)
    checkpoint = None
    if arm == "ours":
        saver = Saver(run, plan.save, rank, 2, 1)
        trainer.follow(plan, "", saver, recorder, [])
        trainer.add_callback(Schedule(run, plan.save, saver, trainer, 1))
        if selection is not None:
            found = selection.settle()
            trainer.start_from(found, weights_only=False)
            checkpoint = str(found.path)
    else:
        clock.every = plan.save.save_steps if what != "resume" else 1 << 30
        if isinstance(trainer, Dcp):
            trainer.asynchronous = arm == "DCP async"
            trainer.group = dist.new_group(backend="gloo")
        if what == "resume":
            checkpoint = _newest(args.output_dir)
            if isinstance(trainer, Dcp):
                state = {"global_step": int(checkpoint.rpartition("-")[2]), "train_batch_size": 1}
                Path(checkpoint, "trainer_state.json").write_text(json.dumps(state))
    if what == "resume":
        _drop_last_steps(trainer, plan)
    _time_saves(trainer)
    _time_loads(trainer)
    trainer.train(resume_from_checkpoint=checkpoint)
    if isinstance(trainer, Dcp) and trainer.future is not None:
        trainer.future.result()
    total = [event.total_s for event in run.read_events(Saved)] if arm == "ours" else durable or blocked
    if arm == "ours" and what == "warm":
        shutil.rmtree(run.checkpoints, ignore_errors=True) if rank == 0 else None
        dist.barrier()
    first = (clock.first or time.time()) - float(os.environ["BENCH_T0"])
    step = int(checkpoint.replace("_", "-").rpartition("-")[2]) if checkpoint else 0
    print(json.dumps({"blocked_s": blocked, "total_s": total[-len(blocked) :] if blocked else [], "first_step_s": first,
                      "load_s": sum(loads), "step": step}))  # fmt: skip
    sys.stdout.flush()
    dist.barrier()
    os._exit(0)


def _drop_last_steps(trainer: Any, plan: Any) -> None:
    """A resume trains two steps past the newest checkpoint, and saves nothing that is timed."""
    trainer._save_checkpoint = lambda *arguments: None


def _newest(folder: str) -> str:
    return str(
        max(
            Path(folder).iterdir(),
            key=lambda path: int(path.name.rpartition("-")[2]) if "-" in path.name else -1,
        )
    )


def _time_saves(trainer: Any) -> None:
    save = trainer._save_checkpoint

    def timed(*arguments: Any) -> None:
        begin = time.time()
        save(*arguments)
        blocked.append(time.time() - begin)

    trainer._save_checkpoint = timed


def _time_loads(trainer: Any) -> None:
    if isinstance(trainer, ResumableSFT):
        resumable.restore = _timed(resumable.restore)
    elif not isinstance(trainer, Dcp):
        for name in ("_load_from_checkpoint", "_load_optimizer_and_scheduler"):
            setattr(trainer, name, _timed(getattr(trainer, name)))


def _timed(load: Any) -> Any:
    def timed(*arguments: Any, **options: Any) -> None:
        begin = time.time()
        load(*arguments, **options)
        loads.append(time.time() - begin)

    return timed


if __name__ == "__main__":
    main(*sys.argv[1:])
