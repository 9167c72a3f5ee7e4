"""The job that serves the model of a run: its files in serve/ of the run dir, and whether it is queued or running."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher.clusters.base import Cluster, RunState
from launcher.clusters.registry import job_cluster
from launcher.reading import read_json
from launcher.run import RunDir, write_text
from launcher.run.record import is_kind
from launcher.status.state import is_over

FOLDER = "serve"
_ADDRESS = "address.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """Where the job's server listens."""

    job_id: str
    host: str
    """The node, by the name under which other nodes reach it."""
    port: int
    model: str
    """The name that a request gives as `model`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingJob:
    """A job that serves a run, as the cluster knows it."""

    job_id: str
    cluster: Cluster
    state: RunState | None
    """None: the cluster does not answer."""

    @property
    def is_alive(self) -> bool:
        """Whether it is queued or running, or may be."""
        return self.state is None or not is_over(self.state)


def serving_folder(run: RunDir) -> RunDir:
    """The folder of the job, which has a job script, a job.json and logs as a run dir has."""
    return RunDir(run.path / FOLDER)


def serving_job(run: RunDir) -> ServingJob | None:
    """The newest job that was queued to serve the run; None if there was none. ClusterError if this machine cannot ask."""
    folder = serving_folder(run)
    if not folder.job.is_file():
        return None
    written = folder.read_json(folder.job)
    cluster, job_id = job_cluster(str(written["cluster"])), str(written["job_id"])
    return ServingJob(job_id=job_id, cluster=cluster, state=cluster.state(job_id))


def write_address(folder: Path, address: NodeAddress) -> None:
    """Writes the address into the folder of the job."""
    write_text(folder / _ADDRESS, json.dumps(asdict(address)) + "\n", durable=True)


def read_address(run: RunDir, job_id: str) -> NodeAddress | None:
    """The address of that job's server; None until it is written."""
    try:
        found = read_json(serving_folder(run).path / _ADDRESS)
        address = NodeAddress(**found) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownArgumentType]
    except (FileNotFoundError, TypeError):
        return None
    valid = address and all(
        is_kind(getattr(address, name), kind) for name, kind in NodeAddress.__annotations__.items()
    )
    return (
        address
        if address and valid and address.job_id.partition(";")[0] == job_id.partition(";")[0]
        else None
    )
