"""python -m launcher.supervise.node RUN_DIR: start the ranks of this node and end with them.

The environment of a rank is torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, ...), so a script that runs under
torchrun runs here. Unlike torchrun this imports nothing heavy: a rank starts in the time that Python itself takes. The
first node binds the rendezvous port and hands the open socket to rank 0, so nobody can take it in between.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

from launcher.errors import Exit, LauncherError, RunError
from launcher.run import RunDir
from launcher.supervise.children import Stopped, die_with_parent, wait_for_all
from launcher.supervise.rendezvous import bind, choose_port


def main(argv: list[str]) -> int:
    """The exit code of the node: the first failed rank's, else 0."""
    run = RunDir(Path(argv[0]).resolve())
    try:
        return start_ranks(run)
    except LauncherError as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        return error.exit_code


def start_ranks(run: RunDir) -> int:
    """Starts the ranks and waits for them."""
    topology = run.read_json(run.plan)["topology"]
    nodes, ranks = int(topology["nodes"]), int(topology["gpus_per_node"])
    node_rank = int(os.environ.get("SLURM_NODEID", "0")) if nodes > 1 else 0
    address, port = _meeting_point(nodes)
    listener = None
    if node_rank == 0:
        try:
            listener = bind(port)
        except OSError as error:
            print(
                f"launcher: port {port} is taken on {socket.gethostname()} ({error})",
                file=sys.stderr,
                flush=True,
            )
            return Exit.PORT_TAKEN
    stopped = Stopped()
    by_hand = "LAUNCHER_ATTEMPT" not in os.environ
    attempt = run.attempts() + 1 if by_hand else int(os.environ["LAUNCHER_ATTEMPT"])
    if by_hand and node_rank == 0:
        run.add_event("started", attempt=attempt, host=socket.gethostname(), by="node.sh")
    common = {
        "WORLD_SIZE": str(nodes * ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "GROUP_RANK": str(node_rank),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0 serves the store on the socket that it inherits
        "LAUNCHER_ATTEMPT": str(attempt),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(_threads(ranks))),
    }
    children: list[subprocess.Popen[bytes]] = []
    with _open_log(run, attempt) as log:
        for local_rank in range(ranks):
            rank = node_rank * ranks + local_rank
            own = {"RANK": str(rank), "LOCAL_RANK": str(local_rank)}
            inherited: tuple[int, ...] = ()
            if rank == 0 and listener is not None:
                own["LAUNCHER_STORE_FD"] = str(listener.fileno())
                inherited = (listener.fileno(),)
            children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "launcher.train", str(run.path)],
                    env={**os.environ, **common, **own},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=inherited,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            )
    if listener is not None:
        listener.close()
    code = wait_for_all(children, stopped)
    if by_hand and node_rank == 0:
        run.add_end(attempt, code)
    return code


def _meeting_point(nodes: int) -> tuple[str, int]:
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if address and port:
        return address, int(port)
    if nodes > 1:
        raise RunError(
            f"node.sh starts one of {nodes} nodes and needs MASTER_ADDR and MASTER_PORT; run `bash job.sbatch` inside the "
            "allocation, or set both and start node.sh on every node with srun"
        )
    return "127.0.0.1", choose_port()


def _open_log(run: RunDir, attempt: int):
    folder = run.logs / f"{os.environ.get('LAUNCHER_JOB', 'hand')}_{attempt}"
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{socket.gethostname()}.log").open("ab", buffering=0)


def _threads(ranks: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // ranks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
