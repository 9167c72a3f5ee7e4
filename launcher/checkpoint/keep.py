"""Which checkpoints to keep, and for which reason."""

from collections.abc import Sequence

from launcher.checkpoint.manifest import Manifest


def reasons_to_keep(
    manifests: Sequence[Manifest], keep_last: int, keep_every: int, keep_best: int
) -> dict[int, list[str]]:
    """Step -> the reasons to keep it: last, every, best. Steps count, never times; the newest step is always kept.

    `keep_every`: all multiples of this step; 0 means none. `keep_best`: this number of steps with the lowest evaluation
    loss.
    """
    steps = sorted((manifest.step for manifest in manifests), reverse=True)
    evaluated = [one for one in manifests if one.eval_loss is not None]
    best = sorted(evaluated, key=lambda one: (one.eval_loss, one.step))[:keep_best]
    reasons: dict[int, list[str]] = {step: ["last"] for step in steps[: max(1, keep_last)]}
    for step in steps:
        if keep_every and step % keep_every == 0:
            reasons.setdefault(step, []).append("every")
    for one in best:
        reasons.setdefault(one.step, []).append("best")
    return reasons
