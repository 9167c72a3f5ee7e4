"""python -m tests.benchmarks.scale [--nodes N,N]: what the supervisor of thousands of nodes costs, and how fast it acts.

The supervisor is the real one; the agents (tests/benchmarks/scale_agents.py) are connections of one other process, each with
8 ranks that take a step in half a second. Exit code 1 where a bar is missed at the most nodes.
"""

import argparse
import math
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from launcher.config import ClusterConfig
from launcher.plan.rendezvous import make_rendezvous
from launcher.run import RunDir
from launcher.supervise.attempt_runner import AttemptRunner
from launcher.supervise.handshake import read_key
from launcher.supervise.node_pool import NodePool
from launcher.supervise.nodes import Nodes
from launcher.supervise.policy import AttemptContext, EndedAttempt, How, StopReason
from tests.benchmarks.scale_agents import RANKS, Agents

NODES = (64, 256, 1024, 4096)
CORE, ACTS_S, START_S = 0.25, 0.5, 0.2
"""Bars: the share of a core while nothing happens, the time until a crash or a lost connection is acted on, and the time in
which all nodes are told to start their ranks."""
_STEADY_S, _SETTLE_S = 10.0, 3.0
FAULTS = {"crash": How.CRASHED, "stop": How.HUNG, "close": How.LOST}
"""What happens to a node, and how an attempt ends for it. Its lost node is the last fault of a job."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a number of nodes has shown."""

    nodes: int
    gather_s: float
    start_s: float
    """From the first order to start ranks until the last one has arrived."""
    core: float
    """Share of a core while all ranks take steps."""
    acts_s: dict[str, float]
    """Fault -> seconds until the supervisor begins to end the ranks."""
    rss_mib: float


def main() -> int:
    """1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="The supervisor's cost by the number of nodes.")
    parser.add_argument("--nodes", default=",".join(map(str, NODES)), metavar="N,N")
    sizes = [int(word) for word in parser.parse_args().nodes.split(",")]
    print(
        f"{RANKS} ranks a node; agents are connections of one other process on the same {os.cpu_count()} cores"
    )
    print(
        f"{'nodes':>6}  {'gather s':>8}  {'start s':>8}  {'core':>6}  "
        + "  ".join(f"{name + ' s':>8}" for name in FAULTS)
        + f"  {'MiB':>6}"
    )
    rows: list[Row] = []
    for nodes in sizes:
        rows.append(row := measure(nodes))
        print(
            f"{row.nodes:6,}  {row.gather_s:8.2f}  {row.start_s:8.3f}  {row.core:6.3f}  "
            + "  ".join(f"{row.acts_s[name]:8.3f}" for name in FAULTS)
            + f"  {row.rss_mib:6.0f}",
            flush=True,
        )
    most = rows[-1]
    if len(rows) > 1:
        print(f"a core's share grows with nodes^{growth(rows[0], most):.2f}")
    acts = max(most.acts_s["crash"], most.acts_s["close"])
    passed = most.core <= CORE and acts <= ACTS_S and most.start_s <= START_S
    print(
        f"{'pass' if passed else 'MISSED'}: {most.nodes:,} nodes: {most.core:.3f} of a core (bar {CORE:g}), "
        f"acts after {acts:.3f} s (bar {ACTS_S:g}), start told in {most.start_s:.3f} s (bar {START_S:g})"
    )
    return 0 if passed else 1


def growth(small: Row, large: Row) -> float:
    """The power of the number of nodes with which the share of a core grows."""
    return math.log(large.core / small.core) / math.log(large.nodes / small.nodes)


def measure(nodes: int) -> Row:
    """One job of that many nodes, with one attempt for each fault."""
    with tempfile.TemporaryDirectory() as folder:
        return Job(Path(folder), nodes).measure()


class Job:
    """A supervisor's runner over fake agents."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.run, self.nodes = RunDir(folder), nodes
        self.run.logs.mkdir()
        os.environ["XDG_STATE_HOME"] = str(folder)
        plan: Any = SimpleNamespace(
            topology=SimpleNamespace(nodes=nodes, gpus_per_node=RANKS, world_size=nodes * RANKS), spares=0,
            nodes=nodes, generation=None,
            cluster="slurm", hang_timeout_s=60.0, save=None, rendezvous=make_rendezvous(ClusterConfig()),
        )  # fmt: skip
        stopped: Any = SimpleNamespace(signal=None, again=False)
        lease: Any = SimpleNamespace(lost=False, nonce="a")
        fetcher: Any = SimpleNamespace(fetch=lambda good, context: None, commit=None)
        self.ours, self.theirs = multiprocessing.Pipe()
        self.pool = NodePool(self.run, plan, stopped, self._start_step)
        self.runner = AttemptRunner(self.pool, fetcher, lease)
        self.process: Any = None
        self.begun = 0.0
        self.gather_s = self.start_s = self.core = 0.0
        self.happened = 0.0

    def measure(self) -> Row:
        """The figures."""
        acts_s: dict[str, float] = {}
        for number, (fault, how) in enumerate(FAULTS.items(), start=1):
            script = threading.Thread(target=self._disturb, args=(fault, number == 1), daemon=True)
            script.start()
            ended = self._attempt(number)
            acted = time.monotonic() - ended.stop_s
            if ended.how is not how:
                raise RuntimeError(
                    f"{fault} of a node ended the attempt as {ended.how.value}: {ended.reason}"
                )
            script.join()
            acts_s[fault] = acted - self.happened
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.pool.close()
        self.pool.nodes.drop()
        self.process.kill()
        self.process.join()
        return Row(
            nodes=self.nodes, gather_s=self.gather_s, start_s=self.start_s, core=self.core, acts_s=acts_s,
            rss_mib=resident / (1 << 20),
        )  # fmt: skip

    def _attempt(self, number: int) -> EndedAttempt:
        return self.runner.attempt(
            AttemptContext(
                number=number,
                folder=f"1_{number}",
                blamed=(),
                explain_signal=lambda _: (StopReason.CANCELLED, 1.0),
            )
        )

    def _start_step(self, nodes: Nodes) -> Any:
        self.begun = time.monotonic()
        address = (own_address(), nodes.port)
        self.process = multiprocessing.get_context("fork").Process(
            target=serve, args=(address, read_key(self.run), self.nodes, self.theirs), daemon=True
        )
        self.process.start()
        return SimpleNamespace(poll=lambda: None, wait=lambda timeout=0: 0, stderr=None, returncode=None)

    def _disturb(self, fault: str, first: bool) -> None:
        """Waits until all ranks are started, measures in the first attempt, and makes the fault happen."""
        while True:
            time.sleep(0.2)
            if self.process is None:
                continue
            self.ours.send(("told", 0))
            begin, end, count = self.ours.recv()
            if count == self.nodes:
                break
        if first:
            self.gather_s, self.start_s = begin - self.begun, end - begin
            time.sleep(_SETTLE_S)
            busy, moment = time.process_time(), time.monotonic()
            time.sleep(_STEADY_S)
            self.core = (time.process_time() - busy) / (time.monotonic() - moment)
        else:
            time.sleep(_SETTLE_S)
        self.ours.send((fault, self.nodes // 2))
        self.happened = self.ours.recv()


def serve(address: tuple[str, int], key: bytes, nodes: int, orders: Any) -> None:
    """The other process."""
    Agents(address, key, nodes, orders).serve()


def own_address() -> str:
    """An address of this machine that is not a loopback one, as the agents of other nodes have; else 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing. Source: RFC 5737, an address for documentation
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


if __name__ == "__main__":
    sys.exit(main())
