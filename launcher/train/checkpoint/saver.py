"""Saves a checkpoint while training continues: a snapshot, a writer thread, and a commit after all ranks have written."""

import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from launcher import environment
from launcher.checkpoint.folders import commit, open_folder, retain
from launcher.checkpoint.manifest import FileFacts, Manifest, rank_file, state_file
from launcher.checkpoint.pieces import write_file, write_pieces
from launcher.checkpoint.tasks import TaskRetention
from launcher.errors import SaveFailedError
from launcher.plan.save import SavePlan
from launcher.run import RunDir
from launcher.run.events import Event
from launcher.run.events import checkpoints as noted
from launcher.run.nonce import leased_to
from launcher.timeouts import SAVER_GIVES_UP
from launcher.train.checkpoint.shards import Shard, Snapshot
from launcher.units import size

TRAINER_STATE = "trainer_state.json"
_FAILURES = 2
_HEADROOM = 1.1
_RECENT = 9


@dataclass
class Save:
    """One save, as every rank knows it."""

    step: int
    state: dict[str, Any]
    """State of this rank that is not in tensors: random generators, counters."""
    trainer_state: dict[str, Any]
    """transformers' TrainerState, written by rank 0."""
    make_manifest: Callable[[dict[str, FileFacts], dict[str, int]], Manifest]
    """From the files, and the ranks that have written whole parameters."""
    begun: float
    """time.monotonic() when training stopped for the save."""
    blocked_s: float = 0.0


class Saver:
    """Writes this rank's part of every checkpoint. Rank 0 commits checkpoints and deletes old ones."""

    def __init__(
        self,
        run: RunDir,
        plan: SavePlan,
        rank: int,
        world_size: int,
        attempt: int,
        lease: str | None = None,
        tasks: TaskRetention | None = None,
    ) -> None:
        """Collective. The writers have a process group of their own, because the collectives of a thread would mix with
        those of training on the same group. `lease`: the nonce of the run's lease; None reads it from the environment.
        `tasks`: what is kept for evaluations on tasks."""
        self.lease = os.environ.get(environment.LEASE) if lease is None else lease
        self.run, self.plan, self.rank, self.world_size, self.attempt = run, plan, rank, world_size, attempt
        self.tasks = tasks
        self.snapshot = Snapshot()
        self.stalls_s: deque[float] = deque(maxlen=_RECENT)
        """Seconds that training stopped for each of the newest saves, committed or not."""
        self.writing = False
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._reason = ""
        self._size = 0
        timeout = timedelta(seconds=plan.timeout_s)
        self._group = dist.new_group(backend="gloo", timeout=timeout) if world_size > 1 else None

    def save(self, shards: list[Shard], save: Save) -> None:
        """Takes the snapshot and starts the writer, after the previous writer has finished."""
        self.wait()
        self.check()
        self.snapshot.take(shards, self.rank, self.world_size, weights_only=self.plan.weights_only)
        save.blocked_s = time.monotonic() - save.begun
        self.writing = True
        self._thread = threading.Thread(target=self._write, args=(save,), name="checkpoint", daemon=True)
        self._thread.start()
        if not self.plan.asynchronous:
            self.wait()
        self.stalls_s.append(time.monotonic() - save.begun)

    def wait(self) -> None:
        """Returns once nothing is being written; SaveFailed if the writer does not finish in time."""
        if self._thread is not None:
            limit = SAVER_GIVES_UP * self.plan.timeout_s
            self._thread.join(limit)
            if self._thread.is_alive():
                raise SaveFailedError(
                    f"{self.run.checkpoints}: rank {self.rank} has been writing for more than {limit} s: "
                    "its disk does not answer; choose another runs_dir, or raise plugins.sharded_checkpoint.timeout_s"
                )
            self._thread = None

    def check(self) -> None:
        """SaveFailed after two failures in a row, only on rank 0, whose failure ends the other ranks."""
        if self._failures >= _FAILURES:
            raise SaveFailedError(
                f"{self.run.checkpoints}: {self._failures} checkpoints in a row could not be written ({self._reason}); "
                "free some space or choose another runs_dir, then resume from the last good one"
            )

    def close(self) -> None:
        """Waits for the last save; SaveFailed if it failed for good."""
        self.wait()
        self.check()

    def _write(self, save: Save) -> None:
        folder: Path | None = None
        files: dict[str, FileFacts] = {}
        error = ""
        try:
            self._check_space()
            folder = open_folder(self.run.checkpoints, save.step)
            name = rank_file(self.rank)
            files[name] = write_pieces(folder / name, self.snapshot.pieces, self.snapshot.data())
            name = state_file(self.rank)
            files[name] = write_file(folder / name, [_json(save.state)])
            if self.rank == 0:
                files[TRAINER_STATE] = write_file(folder / TRAINER_STATE, [_json(save.trainer_state)])
        except Exception as caught:  # the run continues after any error, and the other ranks must learn of it
            error = f"rank {self.rank}: {_say(caught)}"
        try:
            parts = self._gather((files, error, self.snapshot.whole))
            if parts is not None:
                self._finish(save, folder, parts)
        except Exception as caught:
            self._failed(save, f"another rank's writer does not answer: {_say(caught)}")
        self.writing = False

    def _finish(self, save: Save, folder: Path | None, parts: list[Any]) -> None:
        error = next((reason for _, reason, _ in parts if reason), "")
        files = {name: facts for part, _, _ in parts for name, facts in part.items()}
        writers = {name: rank for rank, (_, _, whole) in enumerate(parts) for name in whole}
        manifest = save.make_manifest(files, writers)
        target = None
        if not error and not leased_to(self.run, self.lease):
            error = "another supervisor has taken the lease of this run dir"
        if not error and folder is not None:
            try:
                target = commit(folder, manifest)
            except OSError as caught:
                error = f"rank 0: {_say(caught)}"
        if target is None:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            self._failed(save, error)
            return
        self._failures, self._size = 0, manifest.bytes
        total = time.monotonic() - save.begun
        self._note(
            noted.Saved(
                attempt=self.attempt,
                step=save.step,
                checkpoint=target.name,
                why=manifest.why,
                bytes=manifest.bytes,
                blocked_s=round(save.blocked_s if self.plan.asynchronous else total, 4),
                total_s=round(total, 4),
            )
        )
        try:
            keep = (self.plan.keep_last, self.plan.keep_every, self.plan.keep_best)
            retain(
                self.run.checkpoints,
                *keep,
                newest=save.step,
                more=self.tasks.reasons if self.tasks is not None else None,
            )
        except OSError as caught:
            self._note(noted.NotDeleted(attempt=self.attempt, step=save.step, error=_say(caught)))

    def _failed(self, save: Save, error: str) -> None:
        self._failures += 1
        self._reason = error
        if self.rank == 0:
            self._note(
                noted.SaveFailed(attempt=self.attempt, step=save.step, error=error, in_a_row=self._failures)
            )
            print(f"launcher: warning: checkpoint of step {save.step} was not written: {error}", flush=True)

    def _check_space(self) -> None:
        """OSError if there is less free space than the last save needed."""
        need = int(max(self._size, sum(piece.bytes for piece in self.snapshot.pieces)) * _HEADROOM)
        self.run.checkpoints.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.run.checkpoints).free
        if free < need:
            raise OSError(28, f"{size(free)} are free and a save needs {size(need)}")

    def _gather(self, part: Any) -> list[Any] | None:
        """The parts of all ranks on rank 0, None on the others: on all, they would take memory with the square of the ranks."""
        if self._group is None:
            return [part]
        parts = [None] * self.world_size if self.rank == 0 else None
        dist.gather_object(part, parts, group=self._group)
        return parts

    def _note(self, event: Event) -> None:
        try:
            self.run.note(event)
        except OSError as error:  # the disk is full; the log of the rank says so
            print(f"launcher: warning: {event} could not be recorded: {_say(error)}", flush=True)


def _json(value: dict[str, Any]) -> memoryview:
    return memoryview(json.dumps(value, default=float).encode())


def _say(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno and error.strerror:
        general = os.strerror(error.errno)
        return general if error.strerror == general else f"{general}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
