"""Which checkpoints to keep, and what for."""

from collections.abc import Sequence

from launcher.checkpoint.manifest import Manifest


def reasons_to_keep(
    manifests: Sequence[Manifest], keep_last: int, keep_every: int, keep_best: int
) -> dict[int, list[str]]:
    """What each kept step is kept for: last, every, best. By step, never by time; the newest is always kept.

    `keep_every`: all steps that are a multiple of it; 0 none. `keep_best`: so many with the lowest evaluation loss.
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
