"""The checkpoint from which a run resumes. Rank 0 chooses it, all ranks verify it, and all of them use the same one."""

import threading
from collections.abc import Iterator
from pathlib import Path

import torch.distributed as dist

from launcher.checkpoint.folders import (
    Broken,
    FoundCheckpoint,
    find_all,
    first_difference,
    look,
    remove_leftovers,
)
from launcher.errors import CheckpointError
from launcher.plugins.on_rank.agree import from_rank_0
from launcher.run import RunDir
from launcher.run.events.checkpoints import CheckpointBroken, Removed
from launcher.run.events.ranks import Diverged


class CheckpointSelection:
    """The search for a checkpoint. Its digests are computed while the model is loaded."""

    def __init__(self, run: RunDir, resume: str, rank: int, world_size: int, attempt: int) -> None:
        """Chooses the newest committed checkpoint by its manifest. Collective: every rank calls it at the same point."""
        self.run, self.rank, self.world_size, self.attempt = run, rank, world_size, attempt
        self.from_elsewhere = False
        """Whether the checkpoint belongs to another run (resume=PATH)."""
        self._candidates = self._search(resume) if rank == 0 else iter(())
        self._look_at_next()

    def skipped(self) -> list[int]:
        """The batches to skip, ascending, because the run has diverged at them. Collective."""
        events = self.run.read_events(Diverged) if self.rank == 0 else []
        batches = {batch for event in events for batch in event.batches}
        return from_rank_0(sorted(batches))

    def settle(self) -> FoundCheckpoint | None:
        """The newest checkpoint whose digests are right, on every rank; None for a start at step 0. Collective."""
        while self.found is not None:
            self._thread.join()
            differences = self._gather(self._difference)
            wrong = next((one for one in differences if one), None)
            if wrong is None:
                return self.found
            if self.rank == 0:
                self._broken(self.found.path, wrong)
            self._look_at_next()
        return None

    def _search(self, resume: str) -> Iterator[tuple[FoundCheckpoint, bool]]:
        left = remove_leftovers(self.run.checkpoints)
        if left:
            self.run.note(Removed(attempt=self.attempt, leftovers=left))
        if resume == "never":
            return
        for found in find_all(self.run.checkpoints):
            if isinstance(found, Broken):
                self._broken(found.path, found.reason)
            else:
                yield found, False
        if resume != "auto":
            yield from self._search_elsewhere(Path(resume))

    def _search_elsewhere(self, path: Path) -> Iterator[tuple[FoundCheckpoint, bool]]:
        """The checkpoint in this folder, or all checkpoints of this run dir, the newest first."""
        inside = path / "checkpoints"
        for found in find_all(inside) if inside.is_dir() else [look(path)]:
            if isinstance(found, Broken):
                self._broken(found.path, found.reason)
            else:
                yield found, True
        raise CheckpointError(
            f"resume={path}: no checkpoint there is complete; name another one, or use resume=auto"
        )

    def _look_at_next(self) -> None:
        chosen: tuple[FoundCheckpoint, bool] | None = from_rank_0(next(self._candidates, None))
        self.found, self.from_elsewhere = chosen or (None, False)
        self._difference: str | None = None
        if self.found is not None:
            self._thread = threading.Thread(target=self._verify, args=(self.found,), daemon=True)
            self._thread.start()

    def _verify(self, found: FoundCheckpoint) -> None:
        """Computes the digests of this rank's share of the files, which are then in the page cache when they are loaded."""
        names = sorted(found.manifest.files)
        own = [name for name in names if _rank_of(name) % self.world_size == self.rank]
        self._difference = first_difference(found, own)

    def _gather(self, value: str | None) -> list[str | None]:
        if self.world_size == 1:
            return [value]
        values: list[str | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def _broken(self, path: Path, reason: str) -> None:
        self.run.note(CheckpointBroken(attempt=self.attempt, checkpoint=str(path), reason=reason))
        print(f"launcher: warning: {reason}; the checkpoint before it is tried", flush=True)


def _rank_of(name: str) -> int:
    digits = name.partition("_")[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 0
