"""Stores a teacher's predictions for the rows of a run: the request to the process that has the training stack."""

from collections.abc import Mapping
from typing import Any, TypedDict

from omegaconf import OmegaConf

from launcher.after.tokenize import cores, make_cache, ranks_python, shown
from launcher.after.worker import worker
from launcher.errors import ConfigError
from launcher.launching.composed import Composed
from launcher.methods.registry import find_method
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.units import percent, plural


class TaughtFolder(TypedDict):
    """Where the stored output of a teacher is; launcher.data.stored_output.StoredOutput says what it is of."""

    folder: str
    """Absolute path of its folder: the value of trainer.teacher_logits."""
    made: bool
    """Whether this command made it; false if it was in the cache."""


def teach(composed: Composed, plan: LaunchPlan, top_k: int, *, quiet: bool) -> dict[str, Any]:
    """The fields of TaughtFolder and StoredOutput; ConfigError for a run that loads no teacher."""
    config = composed.config
    if find_method(config.trainer.kind).teacher_of(config) is None:
        raise ConfigError(
            f"trainer.kind={config.trainer.kind} of this run loads no teacher; use trainer=distill trainer.teacher=MODEL, "
            "without trainer.teacher_logits"
        )
    make_cache(config, plan.facts.cache_dir)
    request: dict[str, Any] = {
        "verb": "teach", "run_dir": "", "workers": cores(), "top_k": top_k,
        "micro_batch_size": plan.batch.micro_batch_size, "facts": plan.to_dict()["facts"],
        "config": OmegaConf.to_yaml(composed.cfg, resolve=True),
    }  # fmt: skip
    with worker(request, ranks_python(config, plan), config.cluster.env) as work, shown(quiet) as show:
        return work.result(show)


def describe(result: Mapping[str, Any]) -> str:
    """What was found or made as text."""
    whole = result["top_k"] >= result["vocabulary"]
    rest = "all there are" if whole else f"the others hold {percent(result['left_out'])} of the probability"
    return align(
        [
            ("teacher", f"{result['teacher']}, {'stored now' if result['made'] else 'already in the cache'}"),
            ("tokens", f"{result['tokens']:,} in {plural(result['rows'], 'sequence')}"),
            ("stored", f"the {result['top_k']:,} most likely next tokens at each token; {rest}"),
            ("next", f"launch with trainer.teacher_logits={result['folder']} in place of trainer.teacher"),
        ]
    )
