"""Stores a teacher's predictions for the rows of a run: the request to the process that has the training stack."""

from dataclasses import asdict
from typing import Any

from omegaconf import OmegaConf

from launcher.after.tokenize import cores, make_cache, ranks_python, shown
from launcher.after.worker import worker
from launcher.data.stored_output import StoredOutput, read_stored_output
from launcher.errors import ConfigError
from launcher.launching.composed import Composed
from launcher.methods.registry import find_method
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.protocol.work.requests import StoreTeacher
from launcher.protocol.work.results import TaughtFolder
from launcher.units import percent, plural


def teach(
    composed: Composed, plan: LaunchPlan, top_k: int, *, quiet: bool
) -> tuple[TaughtFolder, StoredOutput]:
    """The folder, and what it says of itself; ConfigError for a run that loads no teacher."""
    config = composed.config
    if find_method(config.trainer.kind).teacher_of(config) is None:
        raise ConfigError(
            f"trainer.kind={config.trainer.kind} of this run loads no teacher; use trainer=distill trainer.teacher=MODEL, "
            "without trainer.teacher_logits"
        )
    make_cache(config, plan.facts.cache_dir)
    request = StoreTeacher(
        config=OmegaConf.to_yaml(composed.cfg, resolve=True),
        facts=plan.to_dict()["facts"],
        workers=cores(),
        top_k=top_k,
        micro_batch_size=plan.batch.micro_batch_size,
    )
    with worker(request, ranks_python(config, plan), config.cluster.env) as work, shown(quiet) as show:
        stored = work.result(TaughtFolder, show)
    return stored, read_stored_output(stored.folder)


def printed(folder: TaughtFolder, taught: StoredOutput) -> dict[str, Any]:
    """The fields of both, for --json."""
    return {**asdict(taught), **asdict(folder)}


def describe(folder: TaughtFolder, taught: StoredOutput) -> str:
    """What was found or made as text."""
    whole = taught.top_k >= taught.vocabulary
    rest = "all there are" if whole else f"the others hold {percent(taught.left_out)} of the probability"
    return align(
        [
            ("teacher", f"{taught.teacher}, {'stored now' if folder.made else 'already in the cache'}"),
            ("tokens", f"{taught.tokens:,} in {plural(taught.rows, 'sequence')}"),
            ("stored", f"the {taught.top_k:,} most likely next tokens at each token; {rest}"),
            ("next", f"launch with trainer.teacher_logits={folder.folder} in place of trainer.teacher"),
        ]
    )
