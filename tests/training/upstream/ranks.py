"""Runs a piece of Python on several CPU ranks, or in one process, and returns what each printed."""

import os
import subprocess
import sys
from pathlib import Path

from launcher.ports import choose_port

OPERATORS = Path.home() / ".cache" / "launcher_tests" / "torch_extensions"
"""Where the tests keep DeepSpeed's compiled operators, which take a minute to compile."""


def on_ranks(code: str, ranks: int = 2, **environment: str) -> list[str]:
    """The last line that each rank printed; a rank that fails, fails the test with its error."""
    # rank 0 listens seconds later, after its imports: until then a port that the kernel gives to anybody could be taken
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(choose_port()), "WORLD_SIZE": str(ranks)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={
                **os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1",
                "ACCELERATE_USE_CPU": "true", "TORCH_EXTENSIONS_DIR": str(OPERATORS), **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    try:
        done = [(*process.communicate(timeout=500), process.returncode) for process in started]
    finally:
        for process in started:
            process.kill()
    for _, error, code_of_exit in done:
        assert code_of_exit == 0, error
    return [out.strip().rpartition("\n")[2] for out, _, _ in done]
