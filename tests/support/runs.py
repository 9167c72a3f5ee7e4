"""Starting real runs of the tiny model, and reading what they left."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import preloaded

# Several ranks share this machine's cores: without this their threads get in each other's way.
QUIET = {"OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "0"}


@dataclass(frozen=True)
class Finished:
    """A run dir after its run."""

    path: Path

    @property
    def losses(self) -> list[float]:
        """Training losses in the order of steps."""
        return [line["loss"] for line in self.metrics() if "loss" in line]

    def metrics(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in (self.path / "events.jsonl").read_text().splitlines()]
        return [event for event in found if name in (None, event["event"])]

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.path.rglob("*.log")))


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without a job that the tests may run in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return {**clean, **QUIET, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "launcher", *arguments]


def launch(folder: Path, cache: Path, *overrides: str, code: int = 0) -> Finished:
    """A run on this machine, followed to its end, which must have that exit code."""
    arguments = ("+experiment=tiny", "cluster=local", f"cache_dir={cache}", "--json", *overrides)
    done = preloaded.run(arguments, folder, environment(), timeout_s=300)
    assert done.stdout, done.stderr
    run = Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stderr}\n{run.logs()}"
    return run
