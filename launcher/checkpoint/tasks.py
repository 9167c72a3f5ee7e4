"""Which checkpoints stay for evaluations on tasks: those whose evaluation is not over, and those with the best figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from launcher.checkpoint.manifest import Manifest
from launcher.config import Config
from launcher.run import RunDir
from launcher.run.evaluations import Settled, read_settled


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetention:
    """What a run keeps for eval_job."""

    run: RunDir
    every: int
    """Steps between two evaluations."""
    metric: str | None
    keep_best: int

    def reasons(self, manifests: Sequence[Manifest]) -> dict[int, list[str]]:
        """Step -> why it is kept: evaluation (one that is not over), best task."""
        found: dict[int, list[str]] = {}
        ranks: list[tuple[float, int]] = []
        for one in manifests:
            if one.step % self.every:
                continue
            settled = settled_of(self.run, one)
            if settled is None:
                found[one.step] = ["evaluation"]
            elif self.metric is not None and (rank := settled.rank(self.metric)) is not None:
                ranks.append((rank, one.step))
        for _, step in sorted(ranks)[: self.keep_best]:
            found.setdefault(step, []).append("best task")
        return found


def settled_of(run: RunDir, manifest: Manifest) -> Settled | None:
    """The end of the evaluation of that checkpoint, and not of an earlier one of the same step; None before it."""
    settled = read_settled(run, manifest.step)
    return settled if settled is not None and settled.saved == manifest.time else None


def task_retention(config: Config, run: RunDir) -> TaskRetention | None:
    """What the run keeps for its evaluations; None without them."""
    wanted = config.eval_job
    if wanted.every is None:
        return None
    return TaskRetention(run=run, every=wanted.every, metric=wanted.metric, keep_best=wanted.keep_best)
