"""node.sh without a supervisor, started by hand on every node: it runs one attempt of this node's ranks."""

import os
import socket
import time

from launcher import environment
from launcher.clusters.registry import find_cluster
from launcher.errors import Exit, RunError
from launcher.output import say
from launcher.ports import bind, choose_port
from launcher.run import RunDir
from launcher.run.events.supervisor import Started
from launcher.supervise.children import StopSignal
from launcher.supervise.preflight import nccl_variables
from launcher.supervise.ranks import Ranks, open_log, rank_environment
from launcher.supervise.starters import ColdStarter

_POLL_S = 0.02


def start_by_hand(run: RunDir) -> int:
    """The exit code of one attempt of this node's ranks, without a supervisor."""
    plan = run.read_json(run.plan)
    topology, cluster = plan["topology"], find_cluster(str(plan["cluster"]))
    nodes, here = int(topology["nodes"]), int(topology["gpus_per_node"])
    index = cluster.node_index(os.environ) if nodes > 1 else 0
    ports = plan["rendezvous"]["ports"]
    address, port = _meeting_point(nodes, tuple(ports) if ports else None)
    listener = None
    if index == 0:
        try:
            listener = bind(port, "127.0.0.1" if address == "127.0.0.1" else "")
        except OSError as error:
            host = socket.gethostname()
            say(f"port {port} is taken on {host} ({error})")
            return Exit.PORT_TAKEN
    stopped = StopSignal()
    attempt = run.attempts() + 1
    if index == 0:
        run.note(Started(attempt=attempt, host=socket.gethostname(), by="node.sh"))
    env = {
        **os.environ,
        **rank_environment(nodes * here, here),
        **(nccl_variables(os.environ) if plan["device"] == "cuda" else {}),
        environment.GROUP_RANK: str(index),
        environment.MASTER_ADDR: address,
        environment.MASTER_PORT: str(port),
        environment.ATTEMPT: str(attempt),
    }
    ranks = Ranks(ColdStarter(run.path))
    log = open_log(run, f"hand_{attempt}", socket.gethostname())
    ranks.start(range(index * here, (index + 1) * here), env, log, listener)
    code = 0
    while not ranks.all_ended():
        ranks.poll()
        failed = next((value for value in ranks.codes().values() if value), 0)
        if stopped.signal or failed:
            code = code or (128 + stopped.signal if stopped.signal else failed)
            ranks.kill()
        time.sleep(_POLL_S)
    code = code or next((value for value in ranks.codes().values() if value), 0)
    if index == 0:
        run.add_end(attempt, code)
    return code


def _meeting_point(nodes: int, ports: tuple[int, int] | None) -> tuple[str, int]:
    address, port = os.environ.get(environment.MASTER_ADDR), os.environ.get(environment.MASTER_PORT)
    if address and port:
        return address, int(port)
    if nodes > 1:
        raise RunError(
            f"node.sh starts one of {nodes} nodes and needs MASTER_ADDR and MASTER_PORT; run `bash job.sbatch` inside the "
            "allocation, or set both and start node.sh on every node in one step"
        )
    return "127.0.0.1", choose_port(ports)
