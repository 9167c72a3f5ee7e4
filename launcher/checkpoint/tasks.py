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
        """Step -> the reason to keep it: `evaluation` until its evaluation is over, `best task` for the best figures."""
        found: dict[int, list[str]] = {}
        figures: list[tuple[float, int]] = []
        for one in manifests:
            if one.step % self.every:
                continue
            settled = settled_of(self.run, one)
            if settled is None:
                found[one.step] = ["evaluation"]
            elif self.metric is not None and (figure := settled.lowest_is_best(self.metric)) is not None:
                figures.append((figure, one.step))
        for _, step in sorted(figures)[: self.keep_best]:
            found.setdefault(step, []).append("best task")
        return found


def settled_of(run: RunDir, manifest: Manifest) -> Settled | None:
    """How the evaluation of that checkpoint ended; None if it has not ended. The result of an earlier checkpoint of the same
    step does not count."""
    settled = read_settled(run, manifest.step)
    return settled if settled is not None and settled.saved == manifest.time else None


def task_retention(config: Config, run: RunDir) -> TaskRetention | None:
    """What the run keeps for its evaluations; None without them."""
    wanted = config.eval_job
    if wanted.every is None:
        return None
    return TaskRetention(run=run, every=wanted.every, metric=wanted.metric, keep_best=wanted.keep_best)
