"""transformers' Trainer with this project's checkpoints and data order instead of its own."""

import dataclasses
import functools
import math
import signal
import time
from importlib.metadata import version
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import seed_worker

from launcher.checkpoint.folders import FoundCheckpoint, committed
from launcher.checkpoint.manifest import FORMAT, FileFacts, Manifest
from launcher.plan import LaunchPlan
from launcher.plan.names import MUON
from launcher.plugins.on_rank.agree import from_rank_0
from launcher.run import now
from launcher.run.metrics import Measure
from launcher.train.callbacks import Recorder
from launcher.train.checkpoint.restore import check_position, restore, restore_random, small_state
from launcher.train.checkpoint.saver import Save, Saver
from launcher.train.checkpoint.shards import clean
from launcher.train.data.order import EvalOrder, GlobalOrder
from launcher.train.data.rows import Rows
from launcher.train.experts import count_choices
from launcher.train.length import length_facts, settle_length
from launcher.train.muon import make_muon
from launcher.train.strategies.base import on_rank
from launcher.train.tally import Tally
from launcher.train.upstream.transformers_trainer_hooks import TrainerHooks, seen_tokens, set_seen_tokens

_PACKAGES = ("launcher", "torch", "transformers", "accelerate", "peft", "trl", "deepspeed")


class Resumable(TrainerHooks):
    """A mixin before a Trainer. `follow` must be called before `train`."""

    group = 1
    """Samples of the batch for each row of data."""

    def follow(
        self: Any, plan: LaunchPlan, digest: str, saver: Saver | None, recorder: Recorder, skipped: list[int]
    ) -> None:
        """Sets up the run's own order of data, without the `skipped` batches, and uses `saver` for checkpoints."""
        self.plan, self.plan_digest, self.saver, self.recorder = plan, digest, saver, recorder
        self.start: FoundCheckpoint | None = None
        self.weights_only = False
        self.save_reason = "interval"
        rows = len(self.train_dataset)
        recorder.rows = rows * self.group
        length = self.run_length = settle_length(plan, self.args, recorder.rows)
        self.note("length", **length_facts(plan, length, recorder.rows))
        steps = length.steps
        rank = plan.degrees.data_parallel_rank(self.args.process_index)
        self.order = self.make_order(
            rows, plan.batch, steps, self.args.seed, rank, plan.degrees.data_parallel_size
        )
        self.order.skipped = skipped
        recorder.batch_of = self.order.batch_of
        if not hasattr(self, "routers"):  # a compiled graph would hold the hooks
            self.routers = None if self.args.torch_compile else count_choices(self.model)
        recorder.routers = self.routers
        if "seq_lengths" in self.train_dataset.column_names:
            recorder.tally = Tally(
                plan, self.train_dataset, self.order, recorder.peak_tflops, recorder.extra_passes
            )

    def create_optimizer(self: Any, model: Any = None) -> Any:
        """The optimizer of trainer.optim; transformers makes all but muon."""
        if self.plan.trainer_args["optim"] != MUON:
            return super().create_optimizer(model)  # pyright: ignore
        if self.optimizer is None:
            trained = self.model if model is None else model
            self.optimizer = make_muon(trained, self.get_decay_parameter_names(trained), self.args)
        return self.optimizer

    def log(self: Any, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Adds this project's figures, so that trackers get the same figures under the same names as metrics.jsonl."""
        logs.update(self.recorder.figures(logs))
        super().log(logs, *arguments, **options)  # pyright: ignore

    def evaluate(self: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        """The figures of an evaluation. Its beginning is reported, because an evaluation can take long."""
        self.note("working", on="evaluate")
        return super().evaluate(*arguments, **options)  # pyright: ignore

    def make_order(self, *arguments: Any) -> GlobalOrder:
        """The rows of this rank in every step."""
        return GlobalOrder(*arguments)

    def start_from(self: Any, found: FoundCheckpoint, *, weights_only: bool) -> None:
        """Starts from the state of a checkpoint; CheckpointError if its position in the data is invalid for this run."""
        if not weights_only:
            check_position(
                found,
                rows=self.order.rows,
                global_batch_size=self.plan.batch.global_batch_size,
                seed=self.args.seed,
            )
            self.order.first_step = found.manifest.step
        self.start, self.weights_only = found, weights_only

    def note(self: Any, event: str, **facts: Any) -> None:
        """An event of this run, written by rank 0; for plugins' callbacks."""
        if self.recorder.is_main:
            self.recorder.run.add_event(event, attempt=self.recorder.attempt, **facts)

    def measured(self: Any, **values: float) -> None:
        """A line of metrics.jsonl at this step, written by rank 0."""
        if self.recorder.is_main:
            line = Measure(time=now(), step=self.state.global_step, more=values)
            self.recorder.run.log(line)

    def go_back_to_best(self: Any) -> int | None:
        """The saved step with the lowest evaluation loss, after its weights are restored; None if there is no such step.
        Collective."""
        if self.saver is None:
            return None
        self.saver.wait()
        evaluated = [
            one for one in committed(self.recorder.run.checkpoints) if one.manifest.eval_loss is not None
        ]
        best = min(evaluated, key=lambda one: (one.manifest.eval_loss, one.manifest.step), default=None)
        best = from_rank_0(best)  # rank 0 has waited for its commit
        if best is None:
            return None
        world_size = self.plan.topology.world_size
        restore(self, best, self.args.process_index, world_size, weights_only=True)
        return best.manifest.step

    def get_train_dataloader(self: Any) -> DataLoader:
        """Batches in the run's own order. Every rank reads only its own, so accelerate does not distribute them."""
        packed = self.recorder.tally is not None
        dataset = Rows(self.train_dataset) if packed else self.used_columns(self.train_dataset)
        workers = self.args.dataloader_num_workers
        return Timed(
            dataset,
            self.recorder,
            batch_sampler=self.order,
            collate_fn=self.data_collator,
            num_workers=workers,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
            worker_init_fn=_Seeded(workers, self.args.process_index) if workers else None,
            generator=_own_generator(self.args.seed),
        )

    def every_row_once(self: Any, eval_dataset: Any = None) -> DataLoader:
        """A loader with every evaluation row once over all ranks; a rank with fewer rows gets an untrained one instead."""
        rows = Rows(self.eval_dataset if eval_dataset is None else eval_dataset)
        degrees = self.plan.degrees
        order = EvalOrder(
            len(rows),
            self.args.per_device_eval_batch_size,
            degrees.data_parallel_rank(self.args.process_index),
            degrees.data_parallel_size,
        )
        return DataLoader(rows, batch_sampler=order, collate_fn=self.data_collator)

    def trained_in_step(self: Any) -> int | None:
        """Trained tokens of the step over all ranks, from the order of rows; None if the rows do not contain counts."""
        tally = self.recorder.tally
        return None if tally is None else tally.trained_in(self.state.global_step)

    def restore_prepared(self: Any) -> None:
        """Restores the checkpoint from which the run starts, if there is one."""
        if self.start is None:
            return
        world_size = self.plan.topology.world_size
        restore(self, self.start, self.args.process_index, world_size, weights_only=self.weights_only)
        if not self.weights_only:
            self.recorder.tokens = self.start.manifest.tokens
            set_seen_tokens(self, self.start.manifest.tokens)

    def restore_generators(self: Any, checkpoint: str | None) -> None:
        """Restores the random generators of a resumed run."""
        if checkpoint is not None and self.start is not None:
            ranks = self.plan.topology.world_size
            restore_random(self, self.start, self.args.process_index, ranks, self.args.seed)

    def save_now(self: Any) -> None:
        """Saves a checkpoint; returns once the state is copied."""
        begun = time.monotonic()
        if self.saver is None:
            return
        step = self.state.global_step
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, ExportableState):
                self.state.stateful_callbacks[type(callback).__name__] = callback.state()
        save = Save(
            step=step,
            state=small_state(self),
            # metrics.jsonl has the log; with a copy of it here, every save would take longer than the one before
            trainer_state=dataclasses.asdict(dataclasses.replace(self.state, log_history=[])),
            make_manifest=self._manifest(),
            begun=begun,
        )
        self.saver.save([*on_rank(self.plan.strategy).shards(self)], save)
        self.save_reason = "interval"

    def _manifest(self: Any) -> Any:
        """A function from the written files to the manifest, which reads nothing from the trainer while that continues."""
        plan, step = self.plan, self.state.global_step
        named = _shapes(self)
        samples = step * plan.batch.global_batch_size
        evaluated = self.recorder.evaluated
        facts: dict[str, Any] = {
            "format": FORMAT,
            "step": step,
            "samples": samples,
            "tokens": self.recorder.tokens or seen_tokens(self),
            "epoch": round(samples / (self.order.rows * self.group), 6),
            "world_size": plan.topology.world_size,
            "strategy": plan.strategy.name,
            "run": plan.facts.run_dir,
            "attempt": self.saver.attempt,
            "plan_digest": self.plan_digest,
            "global_batch_size": plan.batch.global_batch_size,
            "samples_per_epoch": self.order.rows,
            "seed": self.args.seed,
            "why": self.save_reason,
            "eval_loss": evaluated[1]
            if evaluated and evaluated[0] == step and math.isfinite(evaluated[1])
            else None,
            "versions": _versions(),
            "parameters": named,
            "weights_only": self.saver.plan.weights_only,
        }

        def make(files: dict[str, FileFacts], writers: dict[str, int]) -> Manifest:
            return Manifest(**facts, time=now(), files=files, writers=writers)

        return make


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def _shapes(trainer: Any) -> dict[str, list[int]]:
    """Full shape of every trained parameter."""
    return {
        clean(name): list(getattr(parameter, "ds_shape", parameter.shape))
        for name, parameter in trainer.model_wrapped.named_parameters()
        if parameter.requires_grad
    }


class Timed(DataLoader):
    """A loader that reports to the recorder how long training has waited for it."""

    def __init__(self, dataset: Any, recorder: Recorder, **options: Any) -> None:
        super().__init__(dataset, **options)
        self._recorder = recorder

    def __iter__(self) -> Any:
        batches = super().__iter__()
        while True:
            begun = time.monotonic()
            batch = next(batches, None)
            self._recorder.waited(time.monotonic() - begun)
            if batch is None:
                return
            yield batch


class _Seeded:
    """Seeds a worker of the loader as the Trainer does, and makes it ignore signals that Slurm sends to all processes of a job
    step. The supervisor tells the ranks to shut down, and they need their workers until then."""

    def __init__(self, workers: int, rank: int) -> None:
        self.workers, self.rank = workers, rank

    def __call__(self, worker: int) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        seed_worker(worker, self.workers, self.rank)


def _own_generator(seed: int) -> Any:
    """A separate generator for the loader's seed, so that it does not use training's generator."""
    return torch.Generator().manual_seed(seed)
