"""torch 2.13: the lock files of extensions that are compiled when they are first used, such as DeepSpeed's operators.

Symptom: torch.utils.cpp_extension compiles an extension while a file named `lock` stands in its build folder, and every other
process waits without a time limit until that file is gone (utils/file_baton.py). A process that is killed while it compiles
leaves the file behind, and each later run waits forever and prints nothing.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import environment
from launcher.compiler import search_path
from launcher.plan import LaunchPlan

STALE_S = 120.0
"""Age in seconds from which a lock in a shared folder is stale: builds took 37 s and 60 s on busy cores."""


def build_operators(plan: LaunchPlan) -> None:
    """Compiles and loads the operators that DeepSpeed needs for this plan, one process at a time; later loads take no lock."""
    from deepspeed.accelerator import get_accelerator
    from deepspeed.ops import __compatible_ops__ as compatible

    wanted = ["ShareMemCommBuilder"] if plan.device == "cpu" else []
    wanted += ["CPUAdamBuilder"] if plan.strategy.offload_optimizer else []
    if not wanted:
        return
    os.environ[environment.SEARCH_PATH] = search_path(os.environ)  # torch looks for ninja there
    own = Path(plan.facts.cache_dir) / "torch_extensions"
    root = Path(os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(own.resolve())))
    with _one_at_a_time(root) as alone:
        remove_stale_locks(root, 0.0 if alone and root == own.resolve() else STALE_S)
        for name in wanted:
            builder = get_accelerator().create_op_builder(name)
            if builder is not None and compatible.get(builder.NAME, False):
                builder.load(verbose=False)


def remove_stale_locks(root: Path, stale_s: float) -> None:
    """Waits until no lock is left, and removes each lock that is older than `stale_s`: its process must be dead."""
    for lock in [*root.glob("*/lock"), *root.glob("*/*/lock")]:
        with contextlib.suppress(FileNotFoundError):
            while (age := time.time() - lock.stat().st_mtime) < stale_s:
                time.sleep(min(0.5, stale_s - age))
            lock.unlink()
            print(f"launcher: removed {lock}, which a killed build had left behind", flush=True)


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[bool]:
    """Whether this process alone may build in the folder; the kernel releases its lock when the process dies.

    False on a file system without locks.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".launcher").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield True
        except OSError:
            yield False
