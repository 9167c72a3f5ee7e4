"""Values of a cluster file that do not hold on this machine, a login node: modules, an interpreter, an image."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from launcher.config import ClusterConfig, ContainerRuntime

_TIMEOUT_S = 60.0
_LOAD = """command -v module >/dev/null 2>&1 || . /etc/profile >/dev/null 2>&1
for name in "$@"; do
  module load "$name" || { echo "$name"; exit 1; }
done
"""
"""As a job loads them. The last line of stdout is the module that fails."""


def faults_here(cluster: ClusterConfig) -> list[str]:
    """A sentence for each value that does not hold on this machine; compute nodes can differ."""
    paths = {"cluster.python": cluster.python}
    if cluster.container.runtime is not ContainerRuntime.none:
        paths = {"cluster.container.image": cluster.container.image}
    found = [
        f"{key}={path} does not exist on this machine"
        for key, path in paths.items()
        if path and path.startswith("/") and not Path(path).exists()
    ]
    return [*found, *_modules(cluster.modules)]


def _modules(names: Sequence[str]) -> list[str]:
    """The first module that does not load, as those after it can depend on it; empty if that takes too long to tell."""
    if not names:
        return []
    try:
        done = subprocess.run(
            ["bash", "-c", _LOAD, "bash", *names], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode == 0:
        return []
    name = [names[0], *done.stdout.split()][-1]
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return [f"cluster.modules: `module load {name}` fails on this machine: {(said or ['no message'])[-1]}"]
