"""The job that looks at a site's nodes: written, queued, waited for, and cancelled if it does not start in time."""

import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launcher
from launcher.clusters.base import Cluster, RunState
from launcher.clusters.job import Request
from launcher.config import ClusterConfig, ResourcesConfig
from launcher.errors import ClusterError
from launcher.look.record import NodeRecord, read_records
from launcher.output import say

TIME = "00:05:00"
"""Time limit of the job, which takes about a minute."""
_REQUEST = "request.json"
LOG = "logs/job.log"
"""What the job prints, in its folder."""
_WAITING = (RunState.PENDING, None)
_POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What the job requests."""

    nodes: int
    gpus_per_node: int
    """0 for a job that requests none."""
    site: ClusterConfig
    """The site, with the sbatch options that it needs."""


def write_job(cluster: Cluster, wanted: JobRequest, folder: Path) -> Path:
    """The job script in that new folder; PlanError for an unknown option."""
    request = Request(
        name="site_probe", run_dir=str(folder), nodes=wanted.nodes, spares=0, gpus_per_node=max(1, wanted.gpus_per_node),
        cuda=wanted.gpus_per_node > 0, resources=ResourcesConfig(nodes=wanted.nodes, time=TIME), site=wanted.site,
    )  # fmt: skip
    named = {key: value for key, value in cluster.job_options(request).items() if key != "error"}
    options = cluster.with_requeue({**named, "output": LOG}, False)
    header = cluster.header(options, str(folder))
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        (folder / _REQUEST).write_text(
            json.dumps(
                {"kind": cluster.name, "options": cluster.step_options(request), "nodes": wanted.nodes}
            )
        )
        home = Path(launcher.__file__).parent.parent
        python = wanted.site.python or sys.executable
        path = f'export PYTHONPATH={shlex.quote(str(home))}"${{PYTHONPATH:+:$PYTHONPATH}}"\n'
        run = f"exec {shlex.quote(python)} -m launcher.look"
        (folder / "node.sh").write_text(f"{path}{run} node {shlex.quote(str(folder))}\n")
        script = folder / "job.sbatch"
        script.write_text(f"#!/bin/bash\n{header}\n{path}{run} step {shlex.quote(str(folder))}\n")
    except OSError as error:
        raise ClusterError(
            f"--folder {folder} cannot be written: {error.strerror}; name a folder that all nodes share"
        ) from None
    return script


def read_request(folder: Path) -> tuple[str, tuple[str, ...], int]:
    """The scheduler, the options of the step, and the number of nodes."""
    data: Mapping[str, Any] = json.loads((folder / _REQUEST).read_text())
    return data["kind"], tuple(data["options"]), data["nodes"]


def run_job(cluster: Cluster, script: Path, nodes: int, wait_s: float) -> list[NodeRecord]:
    """What the nodes have found; ClusterError if the job does not start within `wait_s`, or ends without an answer."""
    folder = script.parent
    job_id = cluster.submit(script)
    say(f"job {job_id} on {nodes} node{'s' if nodes > 1 else ''} is queued; Ctrl-C cancels it")
    try:
        _wait(cluster, job_id, folder, nodes, wait_s)
    except BaseException:
        cluster.cancel(job_id)
        raise
    records = read_records(folder)
    if len(records) < nodes:
        raise ClusterError(
            f"job {job_id} ended, but only {len(records)} of {nodes} nodes have answered: {_last_line(folder / LOG)}"
        )
    return records


def _wait(cluster: Cluster, job_id: str, folder: Path, nodes: int, wait_s: float) -> None:
    """Returns when every node has answered, or the job has ended."""
    deadline, told, silent = time.monotonic() + wait_s, "", 0
    while len(list(folder.glob("node_*.json"))) < nodes:
        state = cluster.state(job_id)
        silent = silent + 1 if state is None else 0
        if state not in (RunState.RUNNING, *_WAITING) or silent > 30:
            time.sleep(_POLL_S)  # the last files of the nodes can appear here late
            return
        reason = cluster.reasons([job_id]).get(job_id, "") if state is RunState.PENDING else ""
        if reason and reason != told:
            say(f"job {job_id} waits: {reason}")
            told = reason
        if state in _WAITING and time.monotonic() > deadline:
            raise ClusterError(
                f"job {job_id} has not started within {wait_s:g} s ({told or 'no reason given'}) and is cancelled; give it "
                "longer with --wait SECONDS, or another partition with --partition"
            )
        time.sleep(_POLL_S)


def _last_line(log: Path) -> str:
    try:
        lines = [
            line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        return f"the job wrote no {log}; is the folder on a file system that the nodes share? Name one with --folder"
    return f"{lines[-1].strip()} (in {log})" if lines else f"{log} is empty"
