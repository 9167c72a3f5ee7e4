"""A queued job without GPUs that makes the tokens of a run."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from launcher.clusters.base import AGAIN, Refused
from launcher.clusters.job import CpuRequest
from launcher.clusters.registry import make_cluster
from launcher.errors import ClusterError, RunError, UsageError
from launcher.launching.composed import Composed
from launcher.output import align
from launcher.plan import LaunchPlan
from launcher.render import render_script
from launcher.run import write_text

_SCRIPT = "tokenize.sh"


class TokensQueued(TypedDict):
    """A job that makes the tokens of a run."""

    job_id: str
    """The scheduler's id of the job."""
    script: str
    """Absolute path of its script; its log is beside it."""
    then: str
    """The override with which a launch waits for it."""


def parse_options(given: Sequence[str]) -> dict[str, str]:
    """The options of the scheduler by their long names; UsageError for an option that is not KEY=VALUE or KEY."""
    options: dict[str, str] = {}
    for word in given:
        flag, _, value = word.lstrip("-").partition("=")
        if not flag:
            raise UsageError(f"--option {word!r}: write KEY=VALUE, such as partition=cpu")
        options[flag] = value
    return options


def queue(
    composed: Composed,
    plan: LaunchPlan,
    words: Sequence[str],
    *,
    cores: int,
    time: str,
    given: Mapping[str, str],
) -> TokensQueued:
    """The queued job; ClusterError if the cluster refuses it. `words` are the arguments of the launch."""
    cluster = make_cluster(plan.cluster)
    moment = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = Path(plan.facts.cache_dir, "tokens", "jobs", f"{composed.config.name}_{moment}")
    request = CpuRequest(
        name=f"tokenize-{composed.config.name}", folder=str(folder), cores=cores, time=time, given=given,
        site=composed.config.cluster,
    )  # fmt: skip
    text = render_script(
        "tokenize.sh.j2", plan=plan, header=cluster.header(cluster.cpu_options(request), str(folder)),
        python=plan.facts.python, words=[*words, "--workers", str(cores)],
    )  # fmt: skip
    try:
        folder.mkdir(parents=True)
        write_text(folder / _SCRIPT, text)
    except OSError as error:
        raise RunError(
            f"cache_dir={composed.config.cache_dir}: {folder} cannot be written ({error.strerror}); choose another folder"
        ) from None
    try:
        job_id = cluster.submit(folder / _SCRIPT)
    except Refused:  # after any other error the job may be in the queue and need this folder
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except ClusterError as error:  # unlike a run, this job is not looked for in the queue
        told = str(error).replace(
            AGAIN, f"look in the queue for a job tokenize-{composed.config.name} before you type it again"
        )
        raise ClusterError(told) from None
    return {
        "job_id": job_id,
        "script": str(folder / _SCRIPT),
        "then": f"cluster.sbatch.dependency=afterok:{job_id}",
    }


def describe_job(queued: TokensQueued) -> str:
    """The queued job as text."""
    return align(
        [
            ("job", queued["job_id"]),
            ("script", f"{queued['script']}; its log is beside it"),
            ("next", f"launch with the same arguments; {queued['then']} makes the run wait for it"),
        ]
    )
