"""Where a piece of the kit works: its folder, its device, and how it starts runs of the launcher."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.runs import Finished, command, environment

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
"""Nothing of the kit comes from a network."""


class Skipped(Exception):
    """A piece that this machine cannot do, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder of results and the device."""

    out: Path
    device: str
    """cuda or cpu."""

    @property
    def cache(self) -> Path:
        """cache_dir of all runs."""
        return self.out / "cache"

    def folder(self, name: str) -> Path:
        """A folder for the runs of a piece."""
        made = self.out / "work" / name.replace(" ", "_")
        made.mkdir(parents=True, exist_ok=True)
        return made

    def need_gib(self, gib: float, what: str) -> None:
        """Skipped if the GPU has less memory than that. torch is not asked: it would start CUDA, and take memory that the run
        then finds in use."""
        found = _gpu_gib() if self.device == "cuda" else None
        if found is not None and found < gib:
            raise Skipped(f"{what} needs {gib:g} GiB of GPU memory, and this GPU has {found:.0f}")


def _gpu_gib() -> float | None:
    """Memory of the first GPU by nvidia-smi; None where it does not say."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        return float(done.stdout.splitlines()[0]) / 1024
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def variables() -> dict[str, str]:
    """The environment of a run, in which the launcher of this checkout is found without an installation."""
    found = {name: value for name, value in environment(**OFFLINE).items() if name != "OMP_NUM_THREADS"}
    return {**found, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(":")}


def typed(place: Place, *overrides: str) -> list[str]:
    """The command of a run on this machine."""
    where = ["cluster=local", f"cache_dir={place.cache}", "--json", "force=true"]
    where += ["resources.device=cpu"] if place.device == "cpu" else []
    return command("+experiment=tiny", *where, *overrides)


def launch(place: Place, folder: Path, *overrides: str) -> tuple[Finished | None, int, float, str]:
    """The run, its exit code, its seconds, and what it said on stderr; no run where the launch was refused."""
    begun = time.monotonic()
    done = subprocess.run(
        typed(place, *overrides), cwd=folder, env=variables(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )  # fmt: skip
    said = next((line for line in done.stdout.splitlines() if line.startswith("{")), "{}")
    path = json.loads(said).get("run_dir")
    error = json.loads(said).get("error") or done.stderr
    return (
        Finished(Path(path)) if path else None,
        done.returncode,
        time.monotonic() - begun,
        str(error).strip(),
    )


def why(run: Finished | None, said: str) -> str:
    """One line on why a run failed."""
    crashed = run.events("crashed") if run else []
    ended = run.events("ended") if run else []
    text = (
        crashed[0]["error"]
        if crashed
        else str(ended[-1].get("reason") or said)
        if ended
        else said or "it said nothing"
    )
    return " ".join(text.split())[-400:]


def measured(run: Finished) -> dict[str, Any]:
    """The newest measurements of the run's ranks."""
    found = run.events("measured")
    return found[-1] if found else {}
