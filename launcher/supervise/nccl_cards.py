"""NCCL's variables for cards whose driver reports peer access that does not work.

`accelerate launch` sets them, and a rank that accelerate finds without them ends with an error; our ranks are not started by
it. Source: accelerate 1.15, utils/environment.py (check_cuda_p2p_ib_support) and state.py.
"""

import subprocess
from collections.abc import Mapping

from launcher import environment

_CARDS = "RTX 40"
_DRIVER = (550, 40, 7)
"""The first driver that does not report peer access for them."""


def nccl_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without peer access and InfiniBand if this node has several such cards; a value of the site is kept."""
    if not _needed():
        return {}
    return {
        name: environ.get(name, "1") for name in (environment.NCCL_P2P_DISABLE, environment.NCCL_IB_DISABLE)
    }


def _needed() -> bool:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=8, stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        rows = [line.rpartition(",") for line in done.stdout.splitlines() if line.strip()]
        driver = tuple(map(int, rows[0][2].strip().split("."))) if rows else _DRIVER
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return len(rows) > 1 and any(_CARDS in name for name, _, _ in rows) and driver < _DRIVER
