"""What a Slurm site's login node has for jobs: programs for containers, modules, Python, CUDA."""

import os
import platform
import shutil
from pathlib import Path

from launcher.clusters.site_facts import SiteFact
from launcher.clusters.slurm.client import ask

_PROGRAMS = ("apptainer", "singularity", "enroot", "ch-run", "podman-hpc")
_MODULES = tuple(
    Path("/etc/profile.d") / name for name in ("lmod.sh", "z00_lmod.sh", "modules.sh", "00-modulepath.sh")
)


def of_login_node(timeout_s: float) -> list[SiteFact]:
    """What this machine has; compute nodes can differ."""
    found: list[SiteFact] = []
    steps = ask(["srun", "--help"], timeout_s)
    pyxis = steps is not None and "--container-image" in steps.stdout
    found.append(
        SiteFact(
            what="pyxis",
            value=pyxis,
            how="srun --help",
            note="cluster.container.runtime=pyxis" if pyxis else "",
        )
    )
    found += [
        SiteFact(what=name, value=where, how="PATH") for name in _PROGRAMS if (where := shutil.which(name))
    ]
    modules = [
        os.environ.get("LMOD_CMD"),
        os.environ.get("MODULESHOME"),
        *(str(path) for path in _MODULES if path.exists()),
    ]
    found += [SiteFact(what="modules", value=path, how="this login node") for path in filter(None, modules)][
        :1
    ]
    found.append(
        SiteFact(what="Python", value=platform.python_version(), how="the interpreter of this command")
    )
    found.append(SiteFact(what="architecture", value=platform.machine(), how="this login node"))
    if Path("/usr/local/cuda/version.json").exists() or shutil.which("nvcc"):
        found.append(
            SiteFact(what="CUDA", value=shutil.which("nvcc") or "/usr/local/cuda", how="this login node")
        )
    return found
