"""python -m launcher.clusters.slurm.complete NUMBER CODE: ends a job that has lost its batch script, with that exit code.

Slurm's commands can only cancel such a job, which its accounting then calls CANCELLED. slurm_complete_job of Slurm's own
library ends it as its batch script would. The library is loaded in a process of its own, because a version that does not fit
can end the process that loads it. Seen with 22.05; source: slurm/slurm.h, slurm_complete_job.
"""

import shutil
import sys
from pathlib import Path

from launcher.clusters.slurm.client import ask, cancel, split
from launcher.errors import Exit

_FULL = "libslurmfull.so"
"""The library that Slurm's own commands use. It lies beside the plugins, for example in /usr/lib64/slurm."""


def complete(job_id: str, code: int, timeout_s: float) -> None:
    """Ends the job by slurm_complete_job, or by scancel if that fails; ClusterError if both do."""
    number, cluster = split(job_id)
    if number.isdecimal() and not cluster:
        done = ask([sys.executable, "-m", __name__, number, str(code)], timeout_s)
        if done is not None and done.returncode == 0:
            return
    cancel(job_id, timeout_s)


def main(argv: list[str]) -> int:
    """0 if Slurm has taken the job as ended."""
    import ctypes  # imported here: a launch imports this module

    number, code = int(argv[0]), int(argv[1])
    for library in libraries():
        try:
            slurm = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
            if hasattr(slurm, "slurm_init"):  # since 20.11, and needed by later versions
                slurm.slurm_init(None)
            # the second argument is a status as of wait(2): the exit code is its second byte
            done = slurm.slurm_complete_job(ctypes.c_uint32(number), ctypes.c_uint32(code << 8))
        except (OSError, AttributeError):
            continue
        return Exit.OK if done == 0 else Exit.FAILED
    return Exit.FAILED


def libraries() -> list[str]:
    """Where Slurm's library can be: known to the linker, and beside the libraries of the sbatch that is on PATH."""
    from ctypes import util  # as above

    found = [name] if (name := util.find_library("slurm")) else []
    sbatch = shutil.which("sbatch")
    roots = [Path(sbatch).resolve().parents[1]] if sbatch else []
    for root in [*roots, Path("/usr")]:
        for folder in ("lib64", "lib", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"):
            for below in ("", "slurm", "slurm-wlm"):
                path = root / folder / below / _FULL
                if path.exists() and str(path) not in found:
                    found.append(str(path))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
