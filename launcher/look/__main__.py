"""python -m launcher.look step|node FOLDER: the processes of the job that looks at a site's nodes.

`step` runs in the job's script and starts `node` on every node, as a run's job does.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

from launcher.clusters.registry import find_cluster
from launcher.look.disk import local_folders, measure
from launcher.look.gpus import ask_torch, find_gpus, torch_version
from launcher.look.job import read_request
from launcher.look.network import RendezvousServer, infiniband_gb_s, interfaces, meet
from launcher.look.record import NodeRecord
from launcher.supervise.preflight import raise_limits


def main(arguments: list[str]) -> int:
    """The exit code."""
    what, folder = arguments[0], Path(arguments[1])
    kind, options, nodes = read_request(folder)
    if what == "step":
        return subprocess.run(find_cluster(kind).step_command(options, os.environ), cwd=folder).returncode
    look(find_cluster(kind).node_index(os.environ), find_cluster(kind).host(os.environ), nodes, folder)
    return 0


def look(index: int, host: str, nodes: int, folder: Path) -> None:
    """Writes what this node has found."""
    own = interfaces()
    rendezvous = RendezvousServer(folder, nodes) if index == 0 and nodes > 1 else None
    gpus = find_gpus()
    record = NodeRecord(
        index=index, host=host, python=platform.python_version(), architecture=platform.machine(), torch=torch_version(),
        cores=len(os.sched_getaffinity(0)), ib_gb_s=infiniband_gb_s(), limits=raise_limits(), gpus=gpus, interfaces=own,
    )  # fmt: skip
    if rendezvous is not None:
        rendezvous.serve()
    elif nodes > 1:
        record.name_of_first, record.links = meet(folder, own)
    if gpus is not None:
        ask_torch(gpus)
    record.disks = [measure(path) for path in (*local_folders(), folder)]
    record.write(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
