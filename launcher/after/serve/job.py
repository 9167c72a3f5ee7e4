"""A job that serves the model of a run on a node of its cluster, and the tunnel through which it is reached."""

import dataclasses
import getpass
import importlib.util
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import launcher
from launcher.clusters.base import Cluster, RunState
from launcher.clusters.job import Request
from launcher.clusters.registry import find_cluster, make_cluster, queue_kind
from launcher.clusters.submission import submitted
from launcher.config import ContainerRuntime
from launcher.config.spelling import is_limit
from launcher.errors import ClusterError, Exit, PackageError, PlanError, RunError, UsageError
from launcher.output import align, say
from launcher.plugins.decide import Decided, reread_run
from launcher.render import render_script
from launcher.run import RunDir, write_text
from launcher.status.serving import (
    NodeAddress,
    ServingJob,
    read_address,
    serving_folder,
    serving_job,
    write_address,
)

TIME = "04:00:00"
_POLL_S = 1.0
_MOST_SILENT = 60
"""Polls without an answer of the cluster after which the job counts as ended."""


class ServerEnded(ClusterError):
    """The job ended before its server accepted requests."""

    exit_code = Exit.FAILED


class QueuedServer(TypedDict):
    """A job that serves the model of a run, and accepts requests."""

    job_id: str
    """The scheduler's id of the job."""
    node: str
    """The node on which it runs."""
    port: int
    """The port on that node."""
    model: str
    """The name that a request gives as `model`."""
    tunnel: str
    """The command for your own machine that makes the server reachable there."""
    address: str
    """Base URL for clients on your own machine, while the tunnel is open."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerJob:
    """What is queued."""

    words: Sequence[str]
    """Options of the verb for the server on the node."""
    gpus: int
    time: str
    """The job's time limit."""
    given: Mapping[str, str]
    """Options of the scheduler that were typed, by their long names."""


def queue(run: RunDir, wanted: ServerJob) -> ServingJob:
    """The job that serves the run: a new one, or the one that is queued or runs already.

    PlanError or UsageError for options that no job can have; ClusterError if the cluster refuses it.
    """
    if not is_limit(wanted.time) and not wanted.time.isdigit():
        raise UsageError(f"--time {wanted.time}: write minutes, HH:MM:SS or D-HH:MM:SS")
    decided = reread_run(run)
    _check_place(decided)
    planned = find_cluster(decided.plan.cluster)
    cluster = make_cluster(planned.name if planned.queued else queue_kind())
    earlier = serving_job(run)
    if earlier and earlier.is_alive:
        if earlier.state is None:
            raise ClusterError(
                f"{earlier.cluster.title} does not say whether job {earlier.job_id} still serves {run.name}; type the command "
                "again when it answers"
            )
        say(f"job {earlier.job_id} serves {run.name} already")
        return earlier
    folder = serving_folder(run)
    script = _script(run, decided, cluster, wanted)
    try:
        folder.logs.mkdir(parents=True, exist_ok=True)
        write_text(folder.job_script, script)
    except OSError as error:
        raise RunError(f"{folder.path} cannot be written ({error.strerror})") from None
    with submitted(cluster, folder) as job_id:
        return ServingJob(job_id=job_id, cluster=cluster, state=RunState.PENDING)


def _check_place(decided: Decided) -> None:
    container, python = decided.config.cluster.container, decided.plan.facts.python
    if container.runtime is not ContainerRuntime.none:
        raise PlanError(
            f"cluster.container.runtime={container.runtime.value}: no job serves from a container; start launcher serve in the "
            "image, inside an allocation"
        )
    if python == sys.executable and importlib.util.find_spec("fastapi") is None:
        raise PackageError(
            "serve needs fastapi and uvicorn, which this Python does not have; pip install 'launcher[serve]'"
        )


def _script(run: RunDir, decided: Decided, cluster: Cluster, wanted: ServerJob) -> str:
    """The job script."""
    site, folder = decided.config.cluster, serving_folder(run).path
    request = Request(
        name=f"serve-{decided.config.name}",
        run_dir=str(folder),
        nodes=1,
        spares=0,
        gpus_per_node=wanted.gpus,
        cuda=decided.plan.facts.device == "cuda",
        resources=dataclasses.replace(decided.config.resources, nodes=1, time=wanted.time),
        site=dataclasses.replace(site, sbatch={**site.sbatch, **_as_values(wanted.given)}),
    )
    options = cluster.with_requeue(cluster.job_options(request), False)
    return render_script(
        "serve.sh.j2",
        plan=decided.plan,
        header=cluster.header(options, str(folder)),
        env=site.env,
        import_path=str(Path(launcher.__file__).parent.parent),
        words=[str(run.path), *wanted.words, "--for-job", cluster.name],
    )


def _as_values(given: Mapping[str, str]) -> dict[str, Any]:
    """The options as cluster.sbatch has them: true for one without a value."""
    return {name: value if value else True for name, value in given.items()}


def wait_until_it_serves(run: RunDir, job: ServingJob) -> NodeAddress:
    """The address of the job's server, once it accepts requests; ServerEnded if the job ends before."""
    told, silent = "", 0
    while True:
        address = read_address(run, job.job_id)
        state = job.cluster.state(job.job_id)
        silent = silent + 1 if state is None else 0
        alive = dataclasses.replace(job, state=state).is_alive and silent < _MOST_SILENT
        if address and alive:
            return address
        if not alive:
            raise ServerEnded(
                f"job {job.job_id} ended, or its cluster stopped answering, before its server accepted requests: "
                f"{_last_line(run)}"
            )
        reason = _progress(job, state)
        if reason and reason != told:
            say(f"job {job.job_id} {reason}")
            told = reason
        time.sleep(_POLL_S)


def _progress(job: ServingJob, state: RunState | None) -> str:
    if state is RunState.RUNNING:
        return "runs, and loads the model"
    if state is RunState.PENDING:
        reason = job.cluster.reasons([job.job_id]).get(job.job_id, "")
        return f"waits in the queue{f': {reason}' if reason else ''}"
    return ""


def _last_line(run: RunDir) -> str:
    """The last line of the job's newest log."""
    logs = sorted(serving_folder(run).logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
    lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        return f"no log has a line in {serving_folder(run).logs}"
    return f"{found[-1]} (in {logs[-1]})"


def check_in_job(kind: str) -> None:
    """Raises RunError if this process is in no job of that cluster."""
    _own_job(kind)


def note_address(folder: Path, kind: str, port: int, model: str) -> None:
    """Writes where this process listens, as the server of its job of that cluster."""
    host = find_cluster(kind).address(os.environ)
    write_address(folder, NodeAddress(job_id=_own_job(kind), host=host, port=port, model=model))


def _own_job(kind: str) -> str:
    job = find_cluster(kind).job(os.environ)
    if job is None:
        raise RunError(
            f"--for-job {kind} is for the script of a job, and this process is in none; leave it out"
        )
    return job.id


def reached(job: ServingJob, address: NodeAddress, port: int) -> QueuedServer:
    """How the job's server is reached from another machine, through the machine of this command."""
    here = f"{getpass.getuser()}@{socket.getfqdn()}"
    return {
        "job_id": job.job_id,
        "node": address.host,
        "port": address.port,
        "model": address.model,
        "tunnel": f"ssh -N -L {port}:{address.host}:{address.port} {here}",
        "address": f"http://127.0.0.1:{port}/v1",
    }


def describe_job(found: QueuedServer, run: RunDir) -> str:
    """The job's server as text."""
    return align(
        [
            ("job", f"{found['job_id']} serves {found['model']} on {found['node']}, port {found['port']}"),
            ("tunnel", f"{found['tunnel']}    # on your own machine, while you use it"),
            ("then", f"{found['address']} there; every request needs the key"),
            ("end", f"python -m launcher cancel {run.name} --server"),
        ]
    )
